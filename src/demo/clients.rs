//! Clients of the demo's clusters: librdkafka, which shares no code with the product, so that it can prove something.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// How long one request about topics may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// What all clients have in common.
pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "crosscurrent-demo")
        // The default gives a connection that idles for ten minutes to nobody; noise in a demo.
        .set("log.connection.close", "false")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// A topic to create, with the brokers' defaults but for these configs.
pub(crate) type Order<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

/// Creates topics: name, partitions, configs.
///
/// # Errors
/// The cluster does not answer, or its first reason to refuse.
pub(crate) async fn create_topics(bootstrap: &str, orders: &[Order<'_>]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    let orders = orders.iter().map(|(topic, partitions, configs)| {
        let order = NewTopic::new(topic, *partitions, TopicReplication::Fixed(1));
        let configs = configs.iter();
        configs.fold(order, |order, (key, value)| order.set(key, value))
    });
    let orders: Vec<NewTopic<'_>> = orders.collect();
    let options = AdminOptions::new()
        .request_timeout(Some(REQUEST_PATIENCE))
        .operation_timeout(Some(REQUEST_PATIENCE));
    let answer = admin
        .create_topics(&orders, &options)
        .await
        .with_context(|| format!("cannot create topics at {bootstrap}"))?;
    // It waits up to 100 ms for a thread of its own; nobody else needs to.
    std::thread::spawn(move || drop(admin));
    match answer.into_iter().find_map(Result::err) {
        Some((topic, code)) => bail!("cannot create topic {topic} at {bootstrap}: {code}"),
        None => Ok(()),
    }
}

/// All topics of a cluster.
///
/// # Errors
/// The cluster does not answer.
pub(crate) fn topics(
    client: &BaseConsumer<impl rdkafka::consumer::ConsumerContext>,
) -> anyhow::Result<BTreeSet<String>> {
    let metadata = client
        .fetch_metadata(None, REQUEST_PATIENCE)
        .context("cannot list topics")?;
    let names = metadata.topics().iter();
    Ok(names.map(|topic| topic.name().to_owned()).collect())
}

/// The offset behind the last record of a partition.
///
/// # Errors
/// The cluster does not answer, or has no such partition.
pub(crate) fn end_offset(
    client: &BaseConsumer<impl rdkafka::consumer::ConsumerContext>,
    topic: &str,
    partition: i32,
) -> anyhow::Result<i64> {
    let bounds = client.fetch_watermarks(topic, partition, REQUEST_PATIENCE);
    let (_, end) = bounds.with_context(|| format!("cannot find the end of {topic}-{partition}"))?;
    Ok(end)
}

//! What a test uses of a cluster, whatever kind it is.

use std::fmt::Debug;

use crate::{Error, KafkaClient};

/// A Kafka cluster of its own ports and data, gone when dropped. Started by [`crate::Kind::start`].
///
/// If a test panics while it owns the cluster, what the brokers have logged is printed.
pub trait Cluster: Debug + Send + Sync {
    /// The name given at the start.
    fn alias(&self) -> &str;

    /// Kafka's own id of the cluster.
    fn cluster_id(&self) -> &str;

    /// The brokers, running or not, in the order of their node ids.
    fn brokers(&self) -> Vec<&dyn Broker>;

    /// The broker with this node id; the first is 1.
    ///
    /// # Panics
    /// If the cluster was not started with so many brokers.
    fn broker(&self, node_id: u32) -> &dyn Broker;

    /// Prints what the nodes have logged last to standard error.
    fn dump_logs(&self);

    /// All brokers, running or not, for `bootstrap.servers`.
    fn bootstrap(&self) -> String {
        let all: Vec<String> = self.brokers().iter().map(|one| one.bootstrap()).collect();
        all.join(",")
    }

    /// All brokers by a further listener of this name; none without one ([`crate::Secured`]).
    fn bootstrap_of(&self, listener: &str) -> Option<String>;

    /// A client of this cluster.
    ///
    /// # Errors
    /// [`Error::Kafka`] if librdkafka cannot be set up.
    fn client(&self) -> Result<KafkaClient, Error> {
        KafkaClient::connect(&self.bootstrap())
    }
}

/// A broker that can be killed, stopped, started again on the same port and data, frozen and thawed.
///
/// All methods take `&self`: a test may kill a broker while another thread writes to it. They follow one
/// another (a second call waits), except that [`Broker::kill`] during a start waits for the start.
pub trait Broker: Debug + Send + Sync {
    /// Its cluster's alias and its node id, as errors and logs show it.
    fn name(&self) -> &str;

    /// Kafka's node id: 1 for the first broker.
    fn node_id(&self) -> u32;

    /// Host and port, for `bootstrap.servers`.
    fn bootstrap(&self) -> String;

    /// The process that it is, while it runs; none for a broker in this process.
    fn process_id(&self) -> Option<u32> {
        None
    }

    /// True from a start to the next kill or stop; also when frozen.
    fn is_running(&self) -> bool;

    /// A crash: no leader is moved; other brokers see it after the session timeout.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    fn kill(&self) -> Result<(), Error>;

    /// A controlled shutdown. Returns when the broker has ended.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it does not end; it is killed then.
    fn stop(&self) -> Result<(), Error>;

    /// Starts the broker again on its port and data; returns when it answers and its cluster lists it.
    /// Nothing happens if it runs.
    ///
    /// # Errors
    /// [`Error::Exited`] with the end of its log, or [`Error::Timeout`].
    fn start(&self) -> Result<(), Error>;

    /// [`Broker::stop`], then [`Broker::start`].
    ///
    /// # Errors
    /// As those two.
    fn restart(&self) -> Result<(), Error> {
        self.stop()?;
        self.start()
    }

    /// Connections stay open and nothing answers, as with a long pause or a dead switch.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    fn freeze(&self) -> Result<(), Error>;

    /// Ends [`Broker::freeze`].
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    fn thaw(&self) -> Result<(), Error>;

    /// Record batches, control batches included, in the log that this broker keeps of a partition. No client can
    /// count them: it sees records.
    ///
    /// # Errors
    /// [`Error::Io`] if the broker keeps no such log.
    fn batches(&self, topic: &str, partition: i32) -> Result<u64, Error>;
}

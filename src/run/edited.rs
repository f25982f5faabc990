//! Changes that REST makes to the connectors of a file while their flows run (`--rest-writable`).
//!
//! They last as long as the process: at the next start the file counts, as in MM2's dedicated mode.

use std::sync::Arc;

use actors::{Flow, Worker};
use topology::connect_def::{self, find_plugin};
use topology::{ConfigErrors, Connector, FlowConfig, MirrorConfig};
use tracing::{info, warn};

use crate::connect::END_LIMIT;
use crate::rest::{
    Api, ApiError, ConnectorView, Edit, Given, NewConfig, name_into, running, unmasked,
};

/// What was decided about a flow.
struct Decided {
    connector: String,
    flow: Arc<Flow>,
    config: FlowConfig,
}

/// Makes a change and answers it: nobody may wait for that any more.
pub(super) async fn apply(worker: &mut Worker, file: &mut MirrorConfig, api: &Api, edit: Edit) {
    let result = match decide(file, api, &edit.connector, edit.config) {
        Ok(decided) => {
            let connector = decided.connector.clone();
            run(worker, decided).await;
            api.show_file(worker, file);
            let shown = api.shown();
            let info = running(&shown, &connector).map(ConnectorView::info);
            info.ok_or_else(|| unknown(&connector))
        }
        Err(error) => Err(error),
    };
    _ = edit.answer.send(result);
}

fn unknown(connector: &str) -> ApiError {
    ApiError::not_found(format!("Connector {connector} not found"))
}

/// On an error nothing has changed.
fn decide(
    file: &mut MirrorConfig,
    api: &Api,
    name: &str,
    new: NewConfig,
) -> Result<Decided, ApiError> {
    let shown = api.shown();
    let view = running(&shown, name).ok_or_else(|| unknown(name))?;
    let (flow, kind) = (view.flow.clone(), view.kind);
    let id = &flow.config.id;
    let before = file.connector(id, kind);
    // In REST its name has the flow's in front.
    let mut named = before.clone();
    named.insert("name".to_owned(), view.name.clone());
    let mut given = new.applied_to(named);
    name_into(&view.name, &mut given)?;
    let given = unmasked(&given, Some(&before))?;
    check(file, kind, &given)?;
    let mut config = given.settings;
    match before.get("name") {
        Some(stored) => config.insert("name".to_owned(), stored.clone()),
        None => config.remove("name"),
    };
    let refused = |errors: ConfigErrors| ApiError::bad_request(errors.to_string());
    let config = file.change(id, kind, config).map_err(refused)?;
    Ok(Decided {
        connector: view.name.clone(),
        flow,
        config,
    })
}

/// As Connect checks it.
fn check(file: &MirrorConfig, kind: Connector, given: &Given) -> Result<(), ApiError> {
    let providers = file.properties().providers();
    let resolved = (given.settings.iter())
        .map(|(key, text)| (key.clone(), providers.resolve(text)))
        .collect();
    let report = connect_def::validate(&resolved);
    let mut report = report.map_err(|fault| ApiError::bad_request(fault.to_string()))?;
    given.refuse_nulls(&mut report);
    if let Some(message) = report.refusal() {
        return Err(ApiError::bad_request(message));
    }
    let class = resolved
        .get("connector.class")
        .map_or("", |class| class.trim());
    if find_plugin(class) == Some(kind) {
        return Ok(());
    }
    let stays = kind.class();
    Err(ApiError::bad_request(format!(
        "connector.class: a connector of the file stays a {stays}"
    )))
}

/// Lets the flow go on with its new configuration; what its connectors shall do stays.
async fn run(worker: &mut Worker, decided: Decided) {
    let Decided {
        connector,
        flow,
        config,
    } = decided;
    info!(
        connector,
        "configuration changed through REST, until this process ends: write it into the file to keep it"
    );
    if config == flow.config {
        return;
    }
    if !worker.remove(&flow, END_LIMIT).await {
        warn!(flow = %flow.label, "not everything was acknowledged and stored in time: what is on the target is found there");
    }
    let again = worker.add(&config);
    // Before its actors have looked for the first time: nothing awaits between.
    let (from, to) = (&flow.control, &again.control);
    for (from, to) in [
        (&from.source, &to.source),
        (&from.checkpoint, &to.checkpoint),
        (&from.heartbeat, &to.heartbeat),
    ] {
        to.want(from.wanted());
    }
}

//! A connector as a request finds it: of the file of `crosscurrent run`, or of the config topic of a Connect worker, where
//! configuration and tasks are what was written, and the state is what runs.

use std::sync::Arc;

use actors::TargetState;

use super::connect::running;
use super::connectors::{
    ConnectorView, InfoView, StateView, StatusView, TaskConfig, TaskId, shown as masked,
};
use super::errors::ApiError;
use super::{Api, Shown};
use crate::connect::{Connector, Idle, Settings};

/// One connector.
pub(super) struct Found {
    name: String,
    shown: Arc<Shown>,
    /// As the config topic has it.
    stored: Option<Connector>,
    worker_id: Arc<str>,
}

/// All names.
pub(super) fn names(api: &Api) -> Vec<String> {
    match api.connect() {
        Some(connect) => {
            let configs = connect.store.configs();
            configs.names().map(str::to_owned).collect()
        }
        None => {
            let shown = api.shown();
            shown
                .connectors
                .iter()
                .map(|one| one.name.clone())
                .collect()
        }
    }
}

/// The connector of that name.
pub(super) fn get(api: &Api, name: &str) -> Option<Found> {
    let shown = api.shown();
    let stored = match api.connect() {
        Some(connect) => Some(connect.store.configs().get(name)?),
        None => {
            running(&shown, name)?;
            None
        }
    };
    Some(Found {
        name: name.to_owned(),
        shown,
        stored,
        worker_id: api.worker_id.clone(),
    })
}

/// As [`get`].
///
/// # Errors
/// 404, as most routes of Connect say it.
pub(super) fn find(api: &Api, name: &str) -> Result<Found, ApiError> {
    get(api, name).ok_or_else(|| ApiError::not_found(format!("Connector {name} not found")))
}

/// The topics that a connector writes to; none of one that there is not.
pub(super) fn topics(api: &Api, name: &str) -> Vec<String> {
    match api.connect() {
        Some(connect) => {
            let statuses = connect.store.statuses();
            statuses.topics(name).map(str::to_owned).collect()
        }
        None => running(&api.shown(), name)
            .map(ConnectorView::topics)
            .unwrap_or_default(),
    }
}

impl Found {
    /// What runs it; none if nothing does.
    pub(super) fn view(&self) -> Option<&ConnectorView> {
        match &self.stored {
            Some(_) => (self.shown.connectors.iter()).find(|view| view.name == self.name),
            None => running(&self.shown, &self.name),
        }
    }

    /// What it shall do.
    pub(super) fn target(&self) -> Option<TargetState> {
        match &self.stored {
            Some(stored) => Some(stored.target),
            None => self.view().map(|view| view.control().wanted()),
        }
    }

    /// Why nothing runs it.
    pub(super) fn idle(&self) -> Option<&Idle> {
        self.shown.idle.get(&self.name)
    }

    /// The body of `/status`.
    pub(super) fn status(&self) -> StatusView {
        match (self.view(), &self.stored) {
            (Some(view), None) => view.status(),
            (Some(view), Some(stored)) => view.status_among(stored.tasks.len(), &view.partitions()),
            (None, _) => self.idle_status(),
        }
    }

    fn idle_status(&self) -> StatusView {
        let (state, trace) = match self.idle() {
            // Connect has no word for waiting: it runs, has no tasks, and this says why.
            Some(idle) if idle.state() != "STOPPED" => (idle.state(), Some(idle.trace.clone())),
            Some(idle) => (idle.state(), None),
            None => ("UNASSIGNED", None),
        };
        StatusView {
            name: self.name.clone(),
            connector: StateView::new(state, trace, &self.worker_id),
            tasks: Vec::new(),
            r#type: self.kind(),
        }
    }

    fn kind(&self) -> &'static str {
        let class = self
            .stored
            .as_ref()
            .and_then(|stored| stored.config.get("connector.class"));
        match class {
            Some(class) if topology::connect_def::find_plugin(class.trim()).is_none() => "unknown",
            _ => "source",
        }
    }

    /// The body of `GET /connectors/{c}`.
    pub(super) fn info(&self) -> InfoView {
        match (&self.stored, self.view()) {
            (Some(stored), _) => InfoView {
                name: self.name.clone(),
                config: masked_all(&stored.config),
                tasks: (0..stored.tasks.len())
                    .map(|task| self.task_id(task))
                    .collect(),
                r#type: self.kind(),
            },
            (None, Some(view)) => view.info(),
            (None, None) => InfoView {
                name: self.name.clone(),
                config: Settings::new(),
                tasks: Vec::new(),
                r#type: self.kind(),
            },
        }
    }

    fn task_id(&self, task: usize) -> TaskId {
        let connector = self.name.clone();
        TaskId { connector, task }
    }

    /// The body of `/tasks`.
    pub(super) fn tasks(&self) -> Vec<TaskConfig> {
        match (&self.stored, self.view()) {
            (Some(stored), _) => (stored.tasks.iter().enumerate())
                .map(|(task, config)| TaskConfig {
                    id: self.task_id(task),
                    config: masked_all(config),
                })
                .collect(),
            (None, Some(view)) => view.tasks(),
            (None, None) => Vec::new(),
        }
    }
}

/// A configuration as anybody may see it.
pub(super) fn masked_all(config: &Settings) -> Settings {
    let masked = config
        .iter()
        .map(|(key, value)| (key.clone(), masked(key, value).to_owned()));
    masked.collect()
}

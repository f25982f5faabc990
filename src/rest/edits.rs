//! Changes of a file's connectors (`crosscurrent run --rest-writable`), on their way to the thread that runs the flows.

use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connectors::InfoView;
use super::errors::ApiError;
use super::plugins::Given;
use crate::connect::Settings;

/// Changes that wait for others; each ends and starts a flow, which is a matter of seconds at most.
const EDITS_MAX: usize = 16;
/// Bound on all of that; as Connect's `rest.request.timeout.ms` was until it became a key.
const EDIT_LIMIT: Duration = Duration::from_secs(90);

/// What a configuration shall be.
#[derive(Clone)]
pub(crate) enum NewConfig {
    /// This.
    Whole(Given),
    /// As now, but for these keys; without those that are null.
    Patch(Given),
}

impl NewConfig {
    /// Applied to a configuration.
    pub(crate) fn applied_to(self, mut before: Settings) -> Given {
        match self {
            Self::Whole(given) => given,
            Self::Patch(given) => {
                before.retain(|key, _| !given.nulls.contains(key));
                before.extend(given.settings);
                Given {
                    settings: before,
                    nulls: Vec::new(),
                }
            }
        }
    }
}

/// A wish, and where its answer goes.
pub(crate) struct Edit {
    pub(crate) connector: String,
    pub(crate) config: NewConfig,
    pub(crate) answer: oneshot::Sender<Result<InfoView, ApiError>>,
}

/// Where requests put them.
pub(crate) struct Edits(mpsc::Sender<Edit>);

impl Edits {
    /// The two ends.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Edit>) {
        let (sender, receiver) = mpsc::channel(EDITS_MAX);
        (Self(sender), receiver)
    }

    /// Waits until it is done.
    ///
    /// # Errors
    /// What is wrong with the configuration; too many changes; it takes too long.
    pub(super) async fn ask(
        &self,
        connector: &str,
        config: NewConfig,
    ) -> Result<InfoView, ApiError> {
        let (answer, answered) = oneshot::channel();
        let edit = Edit {
            connector: connector.to_owned(),
            config,
            answer,
        };
        let busy =
            |_| ApiError::conflict("other changes are being made, or the process stops: try again");
        self.0.try_send(edit).map_err(busy)?;
        match timeout(EDIT_LIMIT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ApiError::conflict("the process stops: nothing was changed")),
            Err(_) => Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Request timed out: the change may still be made; look at the connector's configuration",
            )),
        }
    }
}

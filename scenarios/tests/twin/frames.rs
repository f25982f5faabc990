//! Requests that no client library makes: unknown versions, unknown APIs, ApiVersions in all of its forms.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::Message;

use crate::random::Random;
use crate::world::{Operation, World, text};

/// A request header without a body.
#[derive(Clone, Debug)]
pub(crate) struct OddFrame {
    api_key: i16,
    version: i16,
}

impl OddFrame {
    pub(crate) fn random(random: &mut Random) -> Self {
        let (api_key, version) = random.of(&[
            (0, 2),
            (0, 14),
            (1, 3),
            (1, 99),
            (2, 0),
            (3, 14),
            (8, 1),
            (9, 0),
            (18, 99),
            (18, -1),
            (19, 1),
            (22, 6),
            (23, 1),
            (999, 0),
            (-1, 0),
            (0, -1),
        ]);
        Self { api_key, version }
    }
}

impl Operation for OddFrame {
    fn run(&self, world: &mut World) -> String {
        let client_id = b"twin";
        let mut frame = Vec::new();
        frame.extend(self.api_key.to_be_bytes());
        frame.extend(self.version.to_be_bytes());
        frame.extend(77_i32.to_be_bytes());
        frame.extend([0, 4]);
        frame.extend(client_id);
        world.ask_bytes(&frame)
    }
}

/// ApiVersions; of the answer, everything counts.
#[derive(Clone, Debug)]
pub(crate) struct ApiVersions {
    version: i16,
    software: &'static str,
}

impl ApiVersions {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(ApiVersionsRequest::VERSIONS),
            software: random.or("twin-1.0", 30, &["", "a b", "-twin", "ü"]),
        }
    }
}

impl Operation for ApiVersions {
    fn run(&self, world: &mut World) -> String {
        let mut request = ApiVersionsRequest::default();
        if self.version >= 3 {
            request.client_software_name = text(self.software);
            request.client_software_version = text("1.0");
        }
        world.ask(self.version, &request).1
    }
}

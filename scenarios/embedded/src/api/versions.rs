use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::OFFERED;
use crate::server::{Answer, Closed, Incoming};

/// Features of a fresh 4.3.1 cluster: name, highest level, finalized level (docs/spec/real-kafka.md). The lowest level is 0, but
/// for `metadata.version`.
const FEATURES: [(&str, i16, i16, i16); 7] = [
    ("eligible.leader.replicas.version", 0, 1, 1),
    ("group.version", 0, 1, 1),
    ("kraft.version", 0, 1, 0),
    ("metadata.version", 7, 30, 30),
    ("share.version", 0, 1, 1),
    ("streams.version", 0, 1, 1),
    ("transaction.version", 0, 2, 2),
];

/// ApiVersions: what this broker offers. A version from the future gets UNSUPPORTED_VERSION in the layout of version 0.
pub(crate) async fn api_versions(
    incoming: &Incoming,
    request: ApiVersionsRequest,
) -> Result<Answer, Closed> {
    use super::IntoAnswer;
    let version = incoming.version;
    if !(0..=4).contains(&version) {
        let row = ApiVersion::default()
            .with_api_key(ApiKey::ApiVersions as i16)
            .with_max_version(4);
        let response = ApiVersionsResponse::default()
            .with_error_code(ResponseError::UnsupportedVersion.code())
            .with_api_keys(vec![row]);
        return response.into_answer(0);
    }
    let named = |text: &StrBytes| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let edge = |c: char| c.is_ascii_alphanumeric();
        text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
    };
    if version >= 3
        && !(named(&request.client_software_name) && named(&request.client_software_version))
    {
        let response =
            ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code());
        return response.into_answer(version);
    }
    let rows = OFFERED.iter().map(|(api, min, max)| {
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(*min)
            .with_max_version(*max)
    });
    let mut response = ApiVersionsResponse::default().with_api_keys(rows.collect());
    if version >= 3 {
        // Version 3 cannot say "from level 0" (a client of that time would refuse it) and hides such features.
        let supported = FEATURES
            .iter()
            .filter(|(_, min, _, _)| version >= 4 || *min > 0)
            .map(|(name, min, max, _)| {
                SupportedFeatureKey::default()
                    .with_name(StrBytes::from_static_str(name))
                    .with_min_version(*min)
                    .with_max_version(*max)
            });
        let transactions = incoming.shared.transactions.limits().version.level();
        let finalized = FEATURES
            .iter()
            .map(|(name, _, _, level)| match *name {
                "transaction.version" => (name, transactions),
                _ => (name, *level),
            })
            .filter(|(_, level)| *level > 0)
            .map(|(name, level)| {
                FinalizedFeatureKey::default()
                    .with_name(StrBytes::from_static_str(name))
                    .with_min_version_level(level)
                    .with_max_version_level(level)
            });
        response = response
            .with_supported_features(supported.collect())
            .with_finalized_features(finalized.collect())
            .with_finalized_features_epoch(1);
    }
    response.into_answer(version)
}

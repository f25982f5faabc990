//! Which version of each request a broker and we share.

use std::collections::HashMap;

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::{Request, VersionRange};

use super::WireError;

/// What one broker offers, as it said in ApiVersions (KIP-35).
#[derive(Clone, Debug, Default)]
pub struct BrokerVersions {
    broker: String,
    offered: HashMap<i16, VersionRange>,
    finalized: HashMap<String, i16>,
}

impl BrokerVersions {
    /// Reads a broker's answer.
    pub fn new(broker: &str, answer: &ApiVersionsResponse) -> Self {
        let range = |min, max| VersionRange { min, max };
        Self {
            broker: broker.to_owned(),
            offered: answer
                .api_keys
                .iter()
                .map(|api| (api.api_key, range(api.min_version, api.max_version)))
                .collect(),
            finalized: answer
                .finalized_features
                .iter()
                .map(|feature| (feature.name.to_string(), feature.max_version_level))
                .collect(),
        }
    }

    /// The highest version of `R` that both sides speak, at most `ours_max`.
    ///
    /// # Errors
    /// [`WireError::Unsupported`] names the API and both ranges.
    pub fn best<R: Request>(&self, api: &'static str, ours_max: i16) -> Result<i16, WireError> {
        self.best_of(api, R::KEY, R::VERSIONS.min, ours_max.min(R::VERSIONS.max))
    }

    /// As [`Self::best`], for a request that is written by hand.
    ///
    /// # Errors
    /// [`WireError::Unsupported`] names the API and both ranges.
    pub fn best_of(
        &self,
        api: &'static str,
        key: i16,
        ours_min: i16,
        ours_max: i16,
    ) -> Result<i16, WireError> {
        let offered = self.offered.get(&key);
        if let Some(range) = offered {
            let version = ours_max.min(range.max);
            if version >= range.min && version >= ours_min {
                return Ok(version);
            }
        }
        Err(WireError::Unsupported {
            broker: self.broker.clone(),
            api,
            offered: offered.map_or_else(|| "none".to_owned(), ToString::to_string),
            needed: format!("{ours_min} to {ours_max}"),
        })
    }

    /// Level of a finalized feature such as `transaction.version` (KIP-584); 0 when not finalized.
    pub fn finalized(&self, feature: &str) -> i16 {
        self.finalized.get(feature).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::{FetchRequest, MetadataRequest};

    use super::*;

    fn broker(min: i16, max: i16) -> BrokerVersions {
        let fetch = ApiVersion::default()
            .with_api_key(1)
            .with_min_version(min)
            .with_max_version(max);
        BrokerVersions::new(
            "b:1",
            &ApiVersionsResponse::default().with_api_keys(vec![fetch]),
        )
    }

    #[test]
    fn the_highest_shared_version_wins() {
        assert_eq!(broker(4, 18).best::<FetchRequest>("Fetch", 17).unwrap(), 17);
        assert_eq!(broker(4, 11).best::<FetchRequest>("Fetch", 17).unwrap(), 11);
    }

    #[test]
    fn no_shared_version_names_both_ranges() {
        let too_new = broker(19, 25)
            .best::<FetchRequest>("Fetch", 17)
            .unwrap_err()
            .to_string();
        assert!(
            too_new.contains("Fetch") && too_new.contains("19..25") && too_new.contains("4 to 17"),
            "{too_new}"
        );
        assert!(
            broker(0, 3).best::<FetchRequest>("Fetch", 17).is_err(),
            "message format below v2"
        );
        let absent = broker(4, 18)
            .best::<MetadataRequest>("Metadata", 12)
            .unwrap_err()
            .to_string();
        assert!(absent.contains("offers Metadata versions none"), "{absent}");
    }
}

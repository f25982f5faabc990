//! Client quotas (KIP-546): set and described.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, alter_client_quotas_response as altered,
    describe_client_quotas_response as described,
};
use kafka_protocol::protocol::StrBytes;

use crate::config::{Entity, Match};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// AlterClientQuotas: each entity by itself.
pub(crate) async fn alter_client_quotas(
    incoming: &Incoming,
    request: AlterClientQuotasRequest,
) -> Result<AlterClientQuotasResponse, Closed> {
    let allowed = incoming.may(Operation::AlterConfigs, Resource::Cluster);
    let mut state = incoming.shared.state();
    let entries = request.entries.into_iter().map(|entry| {
        let own = |part: &kafka_protocol::messages::alter_client_quotas_request::EntityData| {
            let name = part.entity_name.as_ref().map(ToString::to_string);
            (part.entity_type.to_string(), name)
        };
        let entity: Entity = entry.entity.iter().map(own).collect();
        let changes: Vec<(String, Option<f64>)> = entry
            .ops
            .iter()
            .map(|op| (op.key.to_string(), (!op.remove).then_some(op.value)))
            .collect();
        let result = if allowed {
            let quotas = &mut state.configs.quotas;
            let result = quotas.alter(&entity, &changes, request.validate_only);
            result.map_err(|message| (ResponseError::InvalidRequest, message))
        } else {
            let message = "Cluster authorization failed.".to_owned();
            Err((ResponseError::ClusterAuthorizationFailed, message))
        };
        let parts = entity.into_iter().map(|(kind, name)| {
            altered::EntityData::default()
                .with_entity_type(StrBytes::from_string(kind))
                .with_entity_name(name.map(StrBytes::from_string))
        });
        let row = altered::EntryData::default()
            .with_entity(parts.collect())
            .with_error_message(None);
        match result {
            Ok(()) => row,
            Err((error, message)) => row
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        }
    });
    Ok(AlterClientQuotasResponse::default().with_entries(entries.collect()))
}

/// DescribeClientQuotas.
pub(crate) async fn describe_client_quotas(
    incoming: &Incoming,
    request: DescribeClientQuotasRequest,
) -> Result<DescribeClientQuotasResponse, Closed> {
    let refused = |error: ResponseError, message: String| {
        Ok(DescribeClientQuotasResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message)))
            .with_entries(None))
    };
    if !incoming.may(Operation::DescribeConfigs, Resource::Cluster) {
        let message = "Cluster authorization failed.".to_owned();
        return refused(ResponseError::ClusterAuthorizationFailed, message);
    }
    let components = match components(&request.components) {
        Ok(components) => components,
        Err((error, message)) => return refused(error, message),
    };
    let state = incoming.shared.state();
    let found = state.configs.quotas.find(&components, request.strict);
    let entries = found.map(|(entity, quotas)| {
        let parts = entity.iter().map(|(kind, name)| {
            described::EntityData::default()
                .with_entity_type(StrBytes::from_string(kind.clone()))
                .with_entity_name(name.clone().map(StrBytes::from_string))
        });
        let values = quotas.iter().map(|(key, value)| {
            described::ValueData::default()
                .with_key(StrBytes::from_string(key.clone()))
                .with_value(*value)
        });
        described::EntryData::default()
            .with_entity(parts.collect())
            .with_values(values.collect())
    });
    Ok(DescribeClientQuotasResponse::default()
        .with_error_message(Some(StrBytes::default()))
        .with_entries(Some(entries.collect())))
}

fn components(asked: &[ComponentData]) -> Result<Vec<(String, Match)>, (ResponseError, String)> {
    let wrong = |message: String| Err((ResponseError::InvalidRequest, message));
    let mut components: BTreeMap<String, Match> = BTreeMap::new();
    for component in asked {
        let kind = component.entity_type.to_string();
        if kind.is_empty() {
            return wrong("Invalid empty entity type.".to_owned());
        }
        if components.contains_key(&kind) {
            return wrong(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            ));
        }
        if !matches!(kind.as_str(), "user" | "client-id" | "ip") {
            let message = format!("Unsupported entity type {kind}");
            return Err((ResponseError::UnsupportedVersion, message));
        }
        let named = component._match.as_ref().map(ToString::to_string);
        let wanted = match (component.match_type, named) {
            (0, Some(name)) => Match::Exactly(name),
            (0, None) => {
                return wrong(
                    "Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned(),
                );
            }
            (1, None) => Match::Default,
            (2, None) => Match::Any,
            (1, Some(_)) => {
                return wrong(
                    "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."
                        .to_owned(),
                );
            }
            (2, Some(_)) => {
                return wrong(
                    "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."
                        .to_owned(),
                );
            }
            (other, _) => return wrong(format!("Unknown match type {other}")),
        };
        components.insert(kind, wanted);
    }
    if components.contains_key("ip") && components.len() > 1 {
        return wrong(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."
                .to_owned(),
        );
    }
    Ok(components.into_iter().collect())
}

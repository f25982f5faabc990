//! CreateAcls, DescribeAcls, DeleteAcls.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl,
};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::security::{
    Acl, AclFilter, CLUSTER_NAME, Operation, PatternType, Permission, Resource, ResourcePattern,
    ResourceType,
};
use crate::server::{Closed, Incoming};

/// Numbers that the protocol knows but no entry can have: any (1), and in patterns match (2).
const ANY: i8 = 1;
const MATCH: i8 = 2;

/// An error and what it says.
type Problem = (ResponseError, String);

/// Whether the request may go on: with permission on the cluster, and an authorizer to ask.
fn check(incoming: &Incoming, operation: Operation, disabled: &str) -> Result<(), Problem> {
    if !incoming.may(operation, Resource::Cluster) {
        let text = "Cluster authorization failed.".to_owned();
        return Err((ResponseError::ClusterAuthorizationFailed, text));
    }
    if !incoming.shared.security.authorizer.is_enabled() {
        return Err((ResponseError::SecurityDisabled, disabled.to_owned()));
    }
    Ok(())
}

/// CreateAcls. What is there already is created again without an error.
pub(crate) async fn create(
    incoming: &Incoming,
    request: CreateAclsRequest,
) -> Result<CreateAclsResponse, Closed> {
    let checked = check(incoming, Operation::Alter, "No Authorizer is configured.");
    let mut results = Vec::with_capacity(request.creations.len());
    for creation in &request.creations {
        let result = match &checked {
            Ok(()) => entry(creation)?,
            Err(problem) => Err(problem.clone()),
        };
        results.push(match result {
            Ok(acl) => {
                incoming.shared.security.authorizer.add(acl);
                AclCreationResult::default().with_error_message(None)
            }
            Err((error, text)) => AclCreationResult::default()
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(text))),
        });
    }
    Ok(CreateAclsResponse::default().with_results(results))
}

/// The entry that a client wants. Numbers from nowhere close the connection, as with a broker.
fn entry(creation: &AclCreation) -> Result<Result<Acl, Problem>, Closed> {
    let refused = |text: String| Ok(Err((ResponseError::InvalidRequest, text)));
    let (name, principal) = (creation.resource_name.as_str(), creation.principal.as_str());
    let Some(resource_type) = ResourceType::of_number(creation.resource_type) else {
        return if creation.resource_type == ANY {
            refused("Invalid resourceType ANY".to_owned())
        } else {
            Err(Closed)
        };
    };
    if resource_type == ResourceType::Cluster && name != CLUSTER_NAME {
        return refused(format!(
            "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
        ));
    }
    if name.is_empty() {
        return refused("Invalid empty resource name".to_owned());
    }
    let Some(pattern_type) = PatternType::of_number(creation.resource_pattern_type) else {
        return match creation.resource_pattern_type {
            ANY => refused("Invalid patternType ANY".to_owned()),
            MATCH => refused("Invalid patternType MATCH".to_owned()),
            _ => Err(Closed),
        };
    };
    let Some(operation) = Operation::of_number(creation.operation) else {
        return match creation.operation {
            ANY => refused("Invalid operation ANY".to_owned()),
            _ => Err(Closed),
        };
    };
    let Some(permission) = Permission::of_number(creation.permission_type) else {
        return match creation.permission_type {
            ANY => refused("Invalid permissionType ANY".to_owned()),
            _ => Err(Closed),
        };
    };
    if !principal.contains(':') {
        return refused(format!(
            "Could not parse principal from `{principal}` (no colon is present separating the principal type from the \
             principal name)"
        ));
    }
    Ok(Ok(Acl {
        pattern: ResourcePattern {
            resource_type,
            pattern_type,
            name: name.to_owned(),
        },
        principal: principal.to_owned(),
        host: creation.host.to_string(),
        operation,
        permission,
    }))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn owned(text: Option<StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

/// DescribeAcls: entries by resource.
pub(crate) async fn describe(
    incoming: &Incoming,
    request: DescribeAclsRequest,
) -> Result<DescribeAclsResponse, Closed> {
    let filter = AclFilter {
        resource_type: request.resource_type_filter,
        pattern_type: request.pattern_type_filter,
        name: owned(request.resource_name_filter),
        principal: owned(request.principal_filter),
        host: owned(request.host_filter),
        operation: request.operation,
        permission: request.permission_type,
    };
    if !filter.is_known() {
        return Err(Closed);
    }
    let response = DescribeAclsResponse::default().with_error_message(None);
    let disabled = "No Authorizer is configured on the broker";
    if let Err((error, reason)) = check(incoming, Operation::Describe, disabled) {
        return Ok(response
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(reason))));
    }
    let acls = incoming.shared.security.authorizer.select(&filter);
    // They come ordered by pattern.
    let resources = acls
        .chunk_by(|a, b| a.pattern == b.pattern)
        .filter_map(|acls| {
            let pattern = &acls.first()?.pattern;
            let rows = acls.iter().map(|acl| {
                AclDescription::default()
                    .with_principal(text(&acl.principal))
                    .with_host(text(&acl.host))
                    .with_operation(acl.operation as i8)
                    .with_permission_type(acl.permission as i8)
            });
            let resource = DescribeAclsResource::default()
                .with_resource_type(pattern.resource_type as i8)
                .with_resource_name(text(&pattern.name))
                .with_pattern_type(pattern.pattern_type as i8)
                .with_acls(rows.collect());
            Some(resource)
        });
    Ok(response.with_resources(resources.collect()))
}

/// DeleteAcls: what each filter selects.
pub(crate) async fn delete(
    incoming: &Incoming,
    request: DeleteAclsRequest,
) -> Result<DeleteAclsResponse, Closed> {
    let filters = request.filters.into_iter().map(|filter| AclFilter {
        resource_type: filter.resource_type_filter,
        pattern_type: filter.pattern_type_filter,
        name: owned(filter.resource_name_filter),
        principal: owned(filter.principal_filter),
        host: owned(filter.host_filter),
        operation: filter.operation,
        permission: filter.permission_type,
    });
    let filters: Vec<AclFilter> = filters.collect();
    if !filters.iter().all(AclFilter::is_known) {
        return Err(Closed);
    }
    if let Err((error, reason)) = check(incoming, Operation::Alter, "No Authorizer is configured.")
    {
        let result = DeleteAclsFilterResult::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(reason)));
        return Ok(DeleteAclsResponse::default().with_filter_results(vec![result; filters.len()]));
    }
    let removed = incoming.shared.security.authorizer.remove(&filters);
    let results = removed.into_iter().map(|acls| {
        let rows = acls.iter().map(|acl| {
            DeleteAclsMatchingAcl::default()
                .with_error_message(None)
                .with_resource_type(acl.pattern.resource_type as i8)
                .with_resource_name(text(&acl.pattern.name))
                .with_pattern_type(acl.pattern.pattern_type as i8)
                .with_principal(text(&acl.principal))
                .with_host(text(&acl.host))
                .with_operation(acl.operation as i8)
                .with_permission_type(acl.permission as i8)
        });
        DeleteAclsFilterResult::default()
            .with_error_message(None)
            .with_matching_acls(rows.collect())
    });
    Ok(DeleteAclsResponse::default().with_filter_results(results.collect()))
}

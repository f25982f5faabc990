//! Refusals of APIs about configuration and access: a code for each resource.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as AlteredSome;
use kafka_protocol::messages::*;

pub(super) fn describe(request: DescribeConfigsRequest, code: i16) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

pub(super) fn alter(request: AlterConfigsRequest, code: i16) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn alter_some(
    request: IncrementalAlterConfigsRequest,
    code: i16,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        AlteredSome::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn create_acls(request: CreateAclsRequest, code: i16) -> CreateAclsResponse {
    let one = AclCreationResult::default()
        .with_error_code(code)
        .with_error_message(None);
    CreateAclsResponse::default().with_results(vec![one; request.creations.len()])
}

pub(super) fn delete_acls(request: DeleteAclsRequest, code: i16) -> DeleteAclsResponse {
    let one = DeleteAclsFilterResult::default()
        .with_error_code(code)
        .with_error_message(None);
    DeleteAclsResponse::default().with_filter_results(vec![one; request.filters.len()])
}

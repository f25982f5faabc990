//! SCRAM credentials: AlterUserScramCredentials, DescribeUserScramCredentials.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::security::{Credential, Hash, ITERATIONS_MAX, ITERATIONS_MIN, Operation, Resource};
use crate::server::{Closed, Incoming};

/// An error and what it says.
type Problem = (ResponseError, &'static str);

const NOT_AUTHORIZED: &str = "Cluster authorization failed.";
const TWICE: Problem = (
    ResponseError::DuplicateResource,
    "A user credential cannot be altered twice in the same request",
);

/// One user's change.
enum Change {
    Delete(Hash),
    Upsert(Hash, Credential),
}

/// AlterUserScramCredentials: a user is changed once per request, all that are correct are changed.
pub(crate) async fn alter(
    incoming: &Incoming,
    request: AlterUserScramCredentialsRequest,
) -> Result<AlterUserScramCredentialsResponse, Closed> {
    let allowed = incoming.may(Operation::Alter, Resource::Cluster);
    let mut changes = BTreeMap::<StrBytes, Result<Change, Problem>>::new();
    let mut add = |name: StrBytes, change: Result<Change, Problem>| {
        let change = match changes.contains_key(&name) {
            _ if !allowed => Err((ResponseError::ClusterAuthorizationFailed, NOT_AUTHORIZED)),
            true => Err(TWICE),
            false => change,
        };
        changes.insert(name, change);
    };
    for deletion in request.deletions {
        add(deletion.name.clone(), check_deletion(incoming, &deletion));
    }
    for upsertion in request.upsertions {
        add(upsertion.name.clone(), check_upsertion(&upsertion));
    }
    let users = &incoming.shared.security.users;
    let results = changes.into_iter().map(|(name, change)| {
        let result = AlterUserScramCredentialsResult::default()
            .with_user(name.clone())
            .with_error_message(None);
        match change {
            Ok(Change::Delete(hash)) => drop(users.remove_credential(hash, &name)),
            Ok(Change::Upsert(hash, credential)) => users.set_credential(hash, &name, credential),
            Err((error, text)) => {
                return result
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_static_str(text)));
            }
        }
        result
    });
    Ok(AlterUserScramCredentialsResponse::default().with_results(results.collect()))
}

fn check(name: &str, mechanism: i8) -> Result<Hash, Problem> {
    if name.is_empty() {
        return Err((
            ResponseError::UnacceptableCredential,
            "Username must not be empty",
        ));
    }
    Hash::of_number(mechanism).ok_or((
        ResponseError::UnsupportedSaslMechanism,
        "Unknown SCRAM mechanism",
    ))
}

fn check_deletion(
    incoming: &Incoming,
    deletion: &ScramCredentialDeletion,
) -> Result<Change, Problem> {
    let hash = check(&deletion.name, deletion.mechanism)?;
    match incoming
        .shared
        .security
        .users
        .credential(hash, &deletion.name)
    {
        Some(_) => Ok(Change::Delete(hash)),
        None => Err((
            ResponseError::ResourceNotFound,
            "Attempt to delete a user credential that does not exist",
        )),
    }
}

fn check_upsertion(upsertion: &ScramCredentialUpsertion) -> Result<Change, Problem> {
    let hash = check(&upsertion.name, upsertion.mechanism)?;
    let refused = |text| Err((ResponseError::UnacceptableCredential, text));
    match upsertion.iterations {
        ..ITERATIONS_MIN => refused("Too few iterations"),
        ITERATIONS_MIN..=ITERATIONS_MAX => {
            let (salted, salt) = (&upsertion.salted_password, &upsertion.salt);
            let credential = Credential::from_salted(hash, salted, salt, upsertion.iterations);
            Ok(Change::Upsert(hash, credential))
        }
        _ => refused("Too many iterations"),
    }
}

/// DescribeUserScramCredentials: of the users named, or of all.
pub(crate) async fn describe(
    incoming: &Incoming,
    request: DescribeUserScramCredentialsRequest,
) -> Result<DescribeUserScramCredentialsResponse, Closed> {
    let response = DescribeUserScramCredentialsResponse::default();
    if !incoming.may(Operation::Describe, Resource::Cluster) {
        return Ok(response
            .with_error_code(ResponseError::ClusterAuthorizationFailed.code())
            .with_error_message(Some(StrBytes::from_static_str(NOT_AUTHORIZED))));
    }
    let known = incoming.shared.security.users.described();
    // How often each user was asked for.
    let mut wanted = BTreeMap::<String, usize>::new();
    for user in request.users.into_iter().flatten() {
        *wanted.entry(user.name.to_string()).or_default() += 1;
    }
    if wanted.is_empty() {
        wanted = known.keys().map(|user| (user.clone(), 1)).collect();
    }
    let results = wanted.into_iter().map(|(user, times)| {
        let result = DescribeUserScramCredentialsResult::default().with_error_message(None);
        let refused = |error: ResponseError, text: &str| {
            let text = StrBytes::from_string(format!("{text}: {user}"));
            result
                .clone()
                .with_error_code(error.code())
                .with_error_message(Some(text))
        };
        let result = match known.get(&user) {
            _ if times > 1 => refused(
                ResponseError::DuplicateResource,
                "Cannot describe SCRAM credentials for the same user twice in a single request",
            ),
            None => refused(
                ResponseError::ResourceNotFound,
                "Attempt to describe a user credential that does not exist",
            ),
            Some(credentials) => {
                let infos = credentials.iter().map(|(hash, iterations)| {
                    CredentialInfo::default()
                        .with_mechanism(*hash as i8)
                        .with_iterations(*iterations)
                });
                result.with_credential_infos(infos.collect())
            }
        };
        result.with_user(StrBytes::from_string(user))
    });
    let results = results.collect();
    Ok(response.with_error_message(None).with_results(results))
}

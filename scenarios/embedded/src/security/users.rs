//! Users, their passwords and their SCRAM credentials.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::scram::{Credential, Hash};

/// The users of a cluster. PLAIN compares passwords; SCRAM credentials are stored beside and can be changed by clients too.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<Known>);

#[derive(Default)]
struct Known {
    passwords: BTreeMap<String, String>,
    credentials: BTreeMap<(String, Hash), Credential>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.passwords.keys()).finish()
    }
}

impl Users {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a user or changes the password, for PLAIN and all SCRAM mechanisms.
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        let credentials = Hash::ALL.map(|hash| (hash, Credential::from_password(hash, password)));
        let mut known = self.lock();
        known.passwords.insert(user.to_owned(), password.to_owned());
        for (hash, credential) in credentials {
            known
                .credentials
                .insert((user.to_owned(), hash), credential);
        }
    }

    /// Forgets a user; false if there was none.
    pub(crate) fn remove(&self, user: &str) -> bool {
        let mut known = self.lock();
        let before = known.credentials.len();
        known.credentials.retain(|(name, _), _| name != user);
        let had_credentials = known.credentials.len() < before;
        known.passwords.remove(user).is_some() || had_credentials
    }

    /// Whether this is the user's password.
    pub(crate) fn knows(&self, user: &str, password: &str) -> bool {
        self.lock()
            .passwords
            .get(user)
            .is_some_and(|known| known == password)
    }

    pub(crate) fn credential(&self, hash: Hash, user: &str) -> Option<Credential> {
        self.lock()
            .credentials
            .get(&(user.to_owned(), hash))
            .cloned()
    }

    /// Sets one SCRAM credential, as a client may.
    pub(crate) fn set_credential(&self, hash: Hash, user: &str, credential: Credential) {
        self.lock()
            .credentials
            .insert((user.to_owned(), hash), credential);
    }

    /// Removes one SCRAM credential; false if there was none.
    pub(crate) fn remove_credential(&self, hash: Hash, user: &str) -> bool {
        self.lock()
            .credentials
            .remove(&(user.to_owned(), hash))
            .is_some()
    }

    /// Users with SCRAM credentials: mechanism and iterations.
    pub(crate) fn described(&self) -> BTreeMap<String, Vec<(Hash, i32)>> {
        let mut users = BTreeMap::<String, Vec<(Hash, i32)>>::new();
        for ((user, hash), credential) in &self.lock().credentials {
            let row = (*hash, credential.iterations());
            users.entry(user.clone()).or_default().push(row);
        }
        users
    }
}

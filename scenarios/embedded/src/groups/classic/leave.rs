//! LeaveGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::{Classic, State};
use crate::groups::At;

impl Classic {
    /// Members leave, each by its id or, if that is empty, by its instance id; one result each.
    pub(crate) fn leave(
        &mut self,
        leaving: &[(StrBytes, Option<StrBytes>)],
        at: &At<'_>,
    ) -> Vec<Result<(), ResponseError>> {
        let before = (self.members.len(), self.promised.len());
        let rows = leaving.iter();
        let results = rows
            .map(|(id, instance_id)| self.take_out(id, instance_id.as_ref()))
            .collect();
        if before != (self.members.len(), self.promised.len()) {
            match self.state {
                State::Stable | State::CompletingRebalance if before.0 > self.members.len() => {
                    self.prepare(at);
                }
                _ => self.complete_if_all_joined(at),
            }
        }
        results
    }

    fn take_out(
        &mut self,
        id: &StrBytes,
        instance_id: Option<&StrBytes>,
    ) -> Result<(), ResponseError> {
        let unknown = ResponseError::UnknownMemberId;
        let id = match instance_id {
            Some(instance_id) if id.is_empty() => {
                self.statics.get(instance_id).cloned().ok_or(unknown)?
            }
            _ if self.promised.shift_remove(id).is_some() => return Ok(()),
            _ => id.clone(),
        };
        self.check_member(&id, instance_id)?;
        self.remove(&id);
        Ok(())
    }
}

//! Where to go on when the source's log is not what it was.

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::cluster::{ClusterError, OffsetAt};
use topology::AutoOffsetReset;
use tracing::warn;

use super::{Following, Replicator};

impl Replicator {
    /// The source elected a leader that lacks what we had read: go on where both histories agree. What was copied of the
    /// lost history stays on the target; nothing of the new one is missing.
    pub(super) fn diverged(&mut self, epoch: i32, end_offset: i64, ctx: &mut Context<Self>) {
        let records = self.position.saturating_sub(end_offset);
        warn!(
            partition = %self.start.name, position = self.position, end_offset, records,
            "the source's log was truncated (unclean election): the copy keeps records that the source lost"
        );
        let reason = format!("the source's log was truncated behind epoch {epoch}");
        // What is on its way is forgotten here; the next claim finds what arrived.
        let position = end_offset.min(self.status.next_to_acknowledge());
        self.at.map.moved_back(position, Some(epoch));
        self.start_over_at(position, &reason, ctx);
    }

    /// Finds a place to go on when the position is not in the log.
    pub(super) fn reposition(&mut self, why: Reposition, ctx: &mut Context<Self>) {
        self.following = Following::Looking;
        self.search += 1;
        let search = self.search;
        let (flow, at, epoch) = (self.flow.clone(), self.at.clone(), self.last_fetched_epoch);
        let look = async move {
            let (source, topic) = (&flow.source, &at.source_topic);
            let start = source
                .offset(topic, at.partition, OffsetAt::Earliest)
                .await?;
            let end = source.offset(topic, at.partition, OffsetAt::Latest).await?;
            let epoch_end = match why {
                Reposition::OutOfRange if epoch >= 0 => {
                    Some(source.end_of_epoch(topic, at.partition, epoch).await?)
                }
                _ => None,
            };
            Ok(Log {
                start,
                end,
                epoch_end: epoch_end.filter(|(_, end)| *end >= 0),
            })
        };
        let found =
            wrap_future::<_, Self>(look).map(move |log: Result<Log, ClusterError>, this, ctx| {
                match log {
                    _ if this.search != search => {}
                    Ok(log) => this.go_on_in(why, &log, ctx),
                    Err(error) => {
                        this.set_source_trouble(Some(error.to_string()));
                        ctx.run_later(this.source_backoff.next_delay(), move |this, ctx| {
                            this.reposition(why, ctx);
                        });
                    }
                }
            });
        ctx.spawn(found);
    }

    fn go_on_in(&mut self, why: Reposition, log: &Log, ctx: &mut Context<Self>) {
        let (position, start, end) = (self.position, log.start, log.end);
        if let Some((epoch, epoch_end)) = log.epoch_end
            && (start..position).contains(&epoch_end)
        {
            return self.diverged(epoch, epoch_end, ctx);
        }
        let name = self.start.name.clone();
        match why {
            Reposition::Recreated => {
                self.at.map.recreated(self.topic_id.unwrap_or_default());
                return self.start_over_at(start, "the source topic was created again", ctx);
            }
            // Right by now: a leader change was under way. Not at once, the next answer may be the same.
            Reposition::OutOfRange if (start..=end).contains(&position) => {
                self.last_fetched_epoch = -1;
                return self.follow_later(
                    "the source's log is being truncated or elected".to_owned(),
                    ctx,
                );
            }
            Reposition::OutOfRange if position < start => {
                let records = u64::try_from(start - position).unwrap_or(0);
                warn!(
                    partition = %name, position, log_start = start, records,
                    "records were deleted on the source before they were copied (retention, or DeleteRecords)"
                );
                self.status.count_skipped(records);
                self.position = start;
                self.passed_over = true;
                self.pass_over();
                self.pump(ctx);
            }
            Reposition::OutOfRange => {
                let reset = self.flow.config.auto_offset_reset;
                warn!(
                    partition = %name, position, end, ?reset,
                    "the position lies beyond the end of the source's log (truncated, or created again while we were away)"
                );
                let position = match reset {
                    AutoOffsetReset::Earliest => start,
                    AutoOffsetReset::Latest => end,
                    AutoOffsetReset::None => {
                        return self.halt(
                            &format!(
                                "position {position} lies beyond the source's end {end} and auto.offset.reset \
                                 is none: reset the stored offset, or set earliest or latest"
                            ),
                            ctx,
                        );
                    }
                };
                let reason = "the position lies beyond the end of the source's log";
                self.at.map.moved_back(position, None);
                return self.start_over_at(position, reason, ctx);
            }
        }
        self.follow(None, ctx);
    }
}

/// What a source's leader says of its log.
struct Log {
    start: i64,
    end: i64,
    /// Where the epoch that was read last ends there: (epoch, end offset).
    epoch_end: Option<(i32, i64)>,
}

/// Why a position is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reposition {
    /// The broker says that it is not in the log.
    OutOfRange,
    /// The topic is another one.
    Recreated,
}

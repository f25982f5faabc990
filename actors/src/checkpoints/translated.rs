//! Where a source offset is on the target, for whoever asks: from the maps in memory, no cluster is asked.

use std::sync::Arc;

use engine::offsets::Translation;

use super::NotSynced;
use super::reverse::ReverseMaps;
use super::routes::Route;
use crate::flow::Flow;

/// What [`Flow::translate`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The topic's name on the target, if it were there.
    pub remote_topic: Arc<str>,
    /// The offset there, or why the flow cannot know it. It may be below what the target's retention has left.
    pub answer: Result<Translation, NotSynced>,
    /// How far the offset is beyond what was copied or passed over. Unit: offsets; 0: it is not.
    pub uncopied: i64,
}

impl Flow {
    /// Where `upstream` of a partition of the source is on the target, by the map of this flow, or for a copy of a topic of the
    /// target by that of the flow that copies the other way, if it runs in this process. One short lock of one map.
    pub fn translate(&self, topic: &str, partition: i32, upstream: i64) -> Translated {
        let route = Route::unfiltered(&self.config, topic);
        let map = route.map(self, &ReverseMaps::default(), topic, partition);
        let (answer, uncopied) = match map {
            Some(map) => {
                // The ends first: if the map grows meanwhile, too little is promised.
                let ends = map.map.ends();
                (
                    Ok(route.translate(&map, upstream)),
                    route.beyond(ends, upstream),
                )
            }
            None => (Err(route.without_map(self, topic)), 0),
        };
        Translated {
            remote_topic: route.remote().cloned().unwrap_or_else(|| topic.into()),
            answer,
            uncopied,
        }
    }
}

//! The list of operations that a seed stands for.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::configs::{AlterConfigs, DescribeConfigs};
use crate::fetch::{Fetch, LeaderEpochEnd, ListOffsets};
use crate::frames::{ApiVersions, OddFrame};
use crate::groups::{
    ConsumerHeartbeat, DeleteGroups, Heartbeat, JoinGroup, LeaveGroup, Look, MODERN_GROUP,
    SyncGroup,
};
use crate::offsets::{CommitOffsets, DeleteOffsets, FetchOffsets};
use crate::produce::Produce;
use crate::random::{GROUPS, Group, PRODUCERS, Random, TOPICS, Topic};
use crate::topics::{
    CreatePartitions, CreateTopics, DeleteRecords, DeleteTopics, DescribeCluster,
    DescribePartitions, Metadata,
};
use crate::transactions::{
    AddOffsets, AddPartitions, CommitOffsetsInTxn, DescribeProducers, DescribeTransaction, EndTxn,
    InitProducerId, ListTransactions, transactional,
};
use crate::world::Operation;

/// Operations of one list behind those that set the stage.
pub(crate) const OPERATIONS: usize = 200;
/// Highest version of Produce and of EndTxn in the older style of transactions (KIP-890).
const OLD_STYLE: (i16, i16) = (11, 4);

/// One operation of a list; shrinking makes lists that share them.
pub(crate) type Step = Arc<dyn Operation>;

/// The list of `seed`: topics and producers first, then what the dice say, without operations named in `skip`.
pub(crate) fn list(seed: u64, skip: &[&str]) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps: Vec<Step> = Vec::new();
    for slot in 0..TOPICS - 1 {
        steps.push(Arc::new(CreateTopics::slot(slot)));
    }
    for slot in 0..PRODUCERS {
        if slot == PRODUCERS - 1 && random.chance(30) {
            break; // one transactional id that nobody has taken yet
        }
        steps.push(Arc::new(InitProducerId::slot(slot)));
    }
    let stage = steps.len();
    // Steps that belong together, such as a transaction's, come in their order but not in one piece.
    let mut coming: VecDeque<Step> = VecDeque::new();
    while steps.len() < stage + OPERATIONS {
        match coming.pop_front() {
            Some(step) if random.chance(60) => steps.push(step),
            Some(step) => {
                coming.push_front(step);
                steps.push(one(&mut random));
            }
            None => {
                match random.below(10) {
                    0..3 => coming.extend(transaction(&mut random)),
                    3 => coming.extend(membership(&mut random)),
                    _ => {}
                }
                steps.push(one(&mut random));
            }
        }
    }
    let mut at = 0;
    steps.retain(|step| {
        at += 1;
        at <= stage || !skip.contains(&name(step).as_str())
    });
    steps
}

/// The operation's name, without its arguments.
pub(crate) fn name(step: &Step) -> String {
    let debug = format!("{step:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric());
    debug[..end.unwrap_or(debug.len())].to_owned()
}

fn one(random: &mut Random) -> Step {
    type Make = fn(&mut Random) -> Step;
    macro_rules! make {
        ($($weight:literal $kind:ty),* $(,)?) => { &[$(($weight, (|r| Arc::new(<$kind>::random(r))) as Make)),*] };
    }
    let all: &[(u32, Make)] = make![
        60 Produce,
        34 Fetch,
        10 ListOffsets,
        4 LeaderEpochEnd,
        8 CreateTopics,
        3 DeleteTopics,
        3 CreatePartitions,
        5 DeleteRecords,
        8 AlterConfigs,
        6 DescribeConfigs,
        7 Metadata,
        3 DescribePartitions,
        1 DescribeCluster,
        6 InitProducerId,
        3 AddPartitions,
        4 EndTxn,
        1 AddOffsets,
        2 CommitOffsetsInTxn,
        4 DescribeProducers,
        3 DescribeTransaction,
        2 ListTransactions,
        10 CommitOffsets,
        6 FetchOffsets,
        2 DeleteOffsets,
        2 DeleteGroups,
        8 JoinGroup,
        5 SyncGroup,
        3 Heartbeat,
        3 LeaveGroup,
        3 ConsumerHeartbeat,
        8 Look,
        1 OddFrame,
        1 ApiVersions,
    ];
    random.next_operation();
    random.weighted(all)(random)
}

/// A transaction as a client runs it, in one of the two styles.
fn transaction(random: &mut Random) -> Vec<Step> {
    random.next_operation();
    let slot = transactional(random);
    let old = random.chance(50);
    let (topic, partition) = (Topic::Slot(random.below(3)), random.of(&[0, 1]));
    let mut steps: Vec<Step> = Vec::new();
    if old {
        steps.push(Arc::new(AddPartitions::to(random, slot, topic, partition)));
    }
    for _ in 0..random.between(1, 3) {
        let version = if old {
            random.between(3, i64::from(OLD_STYLE.0))
        } else {
            random.of(&[12, 13])
        } as i16;
        steps.push(Arc::new(Produce::transactional(
            random, slot, topic, partition, version,
        )));
    }
    if random.chance(30) {
        let group = Group::Slot(random.below(2));
        if old {
            steps.push(Arc::new(AddOffsets::of(random, slot, group)));
        }
        let version = if old { random.between(0, 4) as i16 } else { 5 };
        steps.push(Arc::new(CommitOffsetsInTxn::of(
            random, slot, group, version,
        )));
    }
    let version = if old {
        random.between(0, i64::from(OLD_STYLE.1)) as i16
    } else {
        5
    };
    if random.chance(92) {
        steps.push(Arc::new(EndTxn::of(random, slot, version)));
    }
    steps
}

/// A member's life.
fn membership(random: &mut Random) -> Vec<Step> {
    random.next_operation();
    let slot = random.below(GROUPS);
    let group = Group::Slot(slot);
    let mut steps: Vec<Step> = Vec::new();
    macro_rules! step {
        ($kind:ty) => {{
            let mut step = <$kind>::random(random);
            step.group = group;
            steps.push(Arc::new(step));
        }};
    }
    if slot == MODERN_GROUP {
        for _ in 0..3 {
            step!(ConsumerHeartbeat);
        }
        step!(CommitOffsets);
        return steps;
    }
    step!(JoinGroup);
    step!(JoinGroup);
    step!(SyncGroup);
    step!(CommitOffsets);
    step!(Heartbeat);
    if random.chance(50) {
        step!(LeaveGroup);
    }
    steps
}

//! One partition: which part of both logs is compared.

use anyhow::bail;
use engine::cluster::{Cluster, OffsetAt};
use engine::offsets::{OffsetMap, Translation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::findings::{Findings, Place};
use super::plan::Job;
use super::progress::Watch;
use super::side::{Side, Stretch};
use super::walk::{Known, Walk};
use super::workers::Sample;

/// Both clusters of a flow.
pub(crate) struct Clusters<'a> {
    pub(crate) source: &'a Cluster,
    pub(crate) target: &'a Cluster,
}

/// First offset and end of both logs.
struct Range {
    source: (i64, i64),
    target: (i64, i64),
}

impl Range {
    /// The target's end first: then all that it holds is a copy of what the source has below its own end.
    async fn ask(job: &Job, clusters: &Clusters<'_>) -> anyhow::Result<Self> {
        let end = if job.read_committed {
            OffsetAt::LastStable
        } else {
            OffsetAt::Latest
        };
        let Clusters { source, target } = clusters;
        let (topic, remote, partition) = (&job.topic, &job.remote, job.partition);
        let target_end = target.offset(remote, partition, end).await?;
        let source_end = source.offset(topic, partition, end).await?;
        let source_start = source.offset(topic, partition, OffsetAt::Earliest).await?;
        let target_start = target.offset(remote, partition, OffsetAt::Earliest).await?;
        Ok(Self {
            source: (source_start, source_end),
            target: (target_start, target_end),
        })
    }
}

impl Job {
    fn known(&self) -> Known<'_> {
        let mapped = self.map.as_ref().map(OffsetMap::upstream_end);
        Known {
            map: self.map.as_ref(),
            settled: mapped.max(self.position).unwrap_or(0),
            source_compacted: self.source_compacted,
            target_compacted: self.target_compacted,
        }
    }

    fn walk<'a>(
        &'a self,
        clusters: &Clusters<'a>,
        source: (i64, i64),
        target: (i64, i64),
    ) -> Walk<'a> {
        let side = |cluster: &'a Cluster, topic: &'a str, (from, end), is_copy| {
            Side::new(Stretch {
                cluster,
                topic,
                partition: self.partition,
                from,
                end,
                read_committed: self.read_committed,
                is_copy,
            })
        };
        Walk::new(
            side(clusters.source, &self.topic, source, false),
            side(clusters.target, &self.remote, target, true),
            self.known(),
        )
    }
}

/// Compares everything that both sides have, or everything behind `saved`.
///
/// # Errors
/// It cannot be compared.
pub(crate) async fn whole(
    job: &Job,
    clusters: Clusters<'_>,
    saved: Option<(Findings, Place)>,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Findings> {
    let Range {
        source: (mut source, source_end),
        target: (mut target, target_end),
    } = Range::ask(job, &clusters).await?;
    let mut findings = Findings::default();
    let (mut source_begins_later, mut target_begins_later) = (source > 0, target > 0);
    if let Some((before, at)) = saved {
        findings = before;
        findings.lag = 0;
        (source_begins_later, target_begins_later) = (source > at.source, target > at.target);
        (source, target) = (source.max(at.source), target.max(at.target));
    } else if let Some(map) = &job.map {
        // What retention has left of both.
        let (from_source, from_target) = (map.downstream(source), map.upstream(target));
        if let Translation::Exact(at) = from_source {
            let at = at.min(target_end);
            findings.below_target = at.saturating_sub(target).max(0).unsigned_abs();
            target = target.max(at);
            source_begins_later = false;
        }
        if let Translation::Exact(at) = from_target {
            let at = at.min(source_end);
            findings.below_source = at.saturating_sub(source).max(0).unsigned_abs();
            source = source.max(at);
            target_begins_later = false;
        }
    }
    let mut walk = job.walk(&clusters, (source, source_end), (target, target_end));
    walk.source_begins_later = source_begins_later;
    walk.target_begins_later = target_begins_later;
    walk.findings = findings;
    let left_out = |findings: &Findings| findings.below_source + findings.below_target;
    let before = left_out(&walk.findings);
    watch.begin(source, source_end);
    walk.run(watch).await?;
    let findings = walk.findings;
    let nothing = findings.equal == 0 && findings.are_equal();
    let both = source < source_end && target < target_end;
    if nothing && both && left_out(&findings) > before {
        bail!("both sides have records, but none in common");
    }
    if nothing && findings.lag > 0 {
        bail!("nothing of it is copied yet, {} offsets wait", findings.lag);
    }
    Ok(findings)
}

/// Compares one batch at each of some random places.
///
/// # Errors
/// It cannot be compared.
pub(crate) async fn sample(
    job: &Job,
    clusters: Clusters<'_>,
    sample: Sample,
    watch: &mut Watch<'_>,
) -> anyhow::Result<Findings> {
    let Some(map) = &job.map else {
        bail!("no offset map of it is stored, and --sample needs one: compare it whole");
    };
    let range = Range::ask(job, &clusters).await?;
    let (from, end) = (
        map.upstream(range.target.0)
            .offset()
            .unwrap_or(0)
            .max(range.source.0),
        map.upstream_end().min(range.source.1),
    );
    let lag = range.source.1.saturating_sub(end).max(0).unsigned_abs();
    let mut findings = Findings::default();
    findings.lag = lag;
    if from >= end {
        if findings.lag > 0 {
            bail!("nothing of it is copied yet, {} offsets wait", findings.lag);
        }
        return Ok(findings);
    }
    // Each partition has places of its own, whatever the order in which they are compared.
    let mut random = StdRng::seed_from_u64(sample.seed ^ u64::from(job.partition.unsigned_abs()));
    for _ in 0..sample.places {
        let at = random.random_range(from..end);
        let (topic, partition) = (&job.topic, job.partition);
        let mut cursor = (clusters.source).cursor(topic, partition, at, end, job.read_committed);
        let found = cursor.next().await?.unwrap_or_default();
        let batch = found
            .iter()
            .find(|batch| batch.header.count() > 0 && !batch.header.is_control());
        let Some(header) = batch.map(|batch| &batch.header) else {
            continue; // only markers, or what was compacted away, up to the end
        };
        let source = (
            header.base_offset().max(from),
            header.next_offset().min(end),
        );
        // Below the map, or in a part of it that is lost.
        let (Translation::Exact(first), Translation::Exact(behind)) =
            (map.downstream(source.0), map.downstream(source.1))
        else {
            continue;
        };
        let target = (first, behind.min(range.target.1));
        let mut walk = job.walk(&clusters, source, target);
        walk.findings = std::mem::take(&mut findings);
        watch.begin(source.0, source.1);
        walk.run(watch).await?;
        findings = walk.findings;
        findings.lag = lag;
    }
    if findings.equal == 0 && findings.are_equal() {
        bail!(
            "at none of the places is a record whose copy the offset map knows: compare it whole"
        );
    }
    Ok(findings)
}

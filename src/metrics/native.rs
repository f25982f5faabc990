//! Our own names.

use std::collections::BTreeMap;

use actors::{BUDGET_BYTES, FlowTotals, PartitionState};

use super::latency::{BOUNDS, cumulated};
use super::table as t;
use super::text::{Text, labels};
use super::{Scrape, Seen, SeenFlow};

pub(super) fn write(
    text: &mut Text,
    scrape: &Scrape<'_>,
    all_flows: &[SeenFlow<'_>],
    seen: &[Seen],
    left_out: usize,
) {
    text.family(&t::BUILD);
    text.series(
        &t::BUILD,
        &labels(&[("version", env!("CARGO_PKG_VERSION"))]),
        1,
    );
    text.single(&t::UPTIME, scrape.started.elapsed().as_secs());
    let used = scrape.flows.first().map_or(0, |flow| flow.budget.used());
    text.single(&t::BUDGET_USED, used);
    text.single(&t::BUDGET_LIMIT, BUDGET_BYTES);
    text.single(&t::LEFT_OUT, left_out);
    flows(text, all_flows);
    reasons(text, seen);
    groups(text, scrape);
    if left_out == 0 {
        partitions(text, seen);
    }
}

/// What a family shows of a flow.
type Sum = fn(&FlowTotals) -> u64;

fn flows(text: &mut Text, seen: &[SeenFlow<'_>]) {
    let flows: Vec<_> = (seen.iter())
        .map(|seen| {
            (
                seen.flow,
                labels(&[("flow", &seen.flow.label)]),
                &seen.totals,
            )
        })
        .collect();
    text.family(&t::FLOW_TROUBLED);
    for (flow, labels, _) in &flows {
        text.series(
            &t::FLOW_TROUBLED,
            labels,
            u8::from(flow.trouble().is_some()),
        );
    }
    text.family(&t::FLOW_TAKEN);
    for (flow, labels, _) in &flows {
        text.series(&t::FLOW_TAKEN, labels, u8::from(flow.lease.is_lost()));
    }
    text.family(&t::FLOW_PARTITIONS);
    for (flow, _, total) in &flows {
        for state in PartitionState::ALL {
            let labels = labels(&[("flow", &flow.label), ("state", state.as_str())]);
            text.series(&t::FLOW_PARTITIONS, &labels, total.in_state(state));
        }
    }
    let sums: [(&t::Metric, Sum); 8] = [
        (&t::FLOW_LAG, |total| total.lag_records),
        (&t::FLOW_RECORDS, |total| total.records),
        (&t::FLOW_BYTES, |total| total.bytes),
        (&t::FLOW_FIRST, |total| total.first_copy.total),
        (&t::FLOW_FIRST_COPIED, |total| total.first_copy.copied),
        (&t::FLOW_UNSEEN, |total| total.unseen),
        (&t::FLOW_SKIPPED, |total| total.skipped_records),
        (&t::FLOW_RESTARTS, |total| total.restarts),
    ];
    for (metric, sum) in sums {
        text.family(metric);
        for (_, labels, total) in &flows {
            text.series(metric, labels, sum(total));
        }
    }
    text.family(&t::FLOW_LATENCY);
    for SeenFlow { flow, .. } in seen {
        let counts = flow.registry.flow(&flow.label).latency.read();
        let cumulated = BOUNDS.into_iter().zip(cumulated(&counts));
        let bounds = cumulated.map(|(bound, count)| (bound.to_string(), count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), counts.count())]) {
            let labels = labels(&[("flow", &flow.label), ("le", &bound)]);
            text.part(&t::FLOW_LATENCY, "_bucket", &labels, count);
        }
        let labels = labels(&[("flow", &flow.label)]);
        text.part(
            &t::FLOW_LATENCY,
            "_sum",
            &labels,
            counts.sum_ms() as f64 / 1e3,
        );
        text.part(&t::FLOW_LATENCY, "_count", &labels, counts.count());
    }
}

fn reasons(text: &mut Text, seen: &[Seen]) {
    let (mut reencoded, mut dropped) = (BTreeMap::new(), BTreeMap::new());
    for Seen { at, .. } in seen {
        for (sums, counts) in [(&mut reencoded, &at.reencoded), (&mut dropped, &at.dropped)] {
            for (reason, count) in counts {
                *sums.entry((&at.key.flow, *reason)).or_insert(0_u64) += count;
            }
        }
    }
    for (metric, sums) in [(&t::REENCODED, reencoded), (&t::DROPPED, dropped)] {
        text.family(metric);
        for ((flow, reason), count) in sums {
            text.series(
                metric,
                &labels(&[("flow", flow), ("reason", reason)]),
                count,
            );
        }
    }
}

fn groups(text: &mut Text, scrape: &Scrape<'_>) {
    text.family(&t::GROUPS);
    for flow in scrape.flows {
        text.series(
            &t::GROUPS,
            &labels(&[("flow", &flow.label)]),
            flow.groups.len(),
        );
    }
    text.family(&t::NOT_SYNCED);
    for flow in scrape.flows {
        let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
        flow.groups.each(|_, group| {
            let why = group
                .partitions
                .values()
                .filter_map(|at| at.why_not.as_ref());
            for why_not in why.chain(&group.why_not) {
                *reasons.entry(why_not.label()).or_default() += 1;
            }
        });
        for (reason, count) in reasons {
            let labels = labels(&[("flow", &flow.label), ("reason", reason)]);
            text.series(&t::NOT_SYNCED, &labels, count);
        }
    }
}

fn partitions(text: &mut Text, seen: &[Seen]) {
    let all: Vec<(String, &Seen)> = (seen.iter())
        .map(|seen| {
            let key = &seen.at.key;
            let number = key.partition.to_string();
            let pairs = [
                ("flow", &*key.flow),
                ("topic", &*key.topic),
                ("partition", &*number),
            ];
            (labels(&pairs), seen)
        })
        .collect();
    text.family(&t::P_STATE);
    for (labels, seen) in &all {
        let labels = format!("{labels},state=\"{}\"", seen.at.state);
        text.series(&t::P_STATE, &labels, 1);
    }
    text.family(&t::P_LAG);
    for (labels, seen) in &all {
        if let Some(lag) = seen.at.lag_records {
            text.series(&t::P_LAG, labels, lag);
        }
    }
    for (metric, offset) in [
        (
            &t::P_POSITION,
            (|seen: &Seen| seen.at.position) as fn(&Seen) -> Option<i64>,
        ),
        (&t::P_ACKED, |seen| seen.at.acked),
    ] {
        text.family(metric);
        for (labels, seen) in &all {
            if let Some(offset) = offset(seen) {
                text.series(metric, labels, offset);
            }
        }
    }
    for (metric, count) in [
        (
            &t::P_RECORDS,
            (|seen: &Seen| seen.at.records) as fn(&Seen) -> u64,
        ),
        (&t::P_BYTES, |seen| seen.at.bytes),
    ] {
        text.family(metric);
        for (labels, seen) in &all {
            text.series(metric, labels, count(seen));
        }
    }
    text.family(&t::P_UPDATED);
    for (labels, seen) in &all {
        if seen.at.updated_at_ms > 0 {
            text.series(&t::P_UPDATED, labels, seen.at.updated_at_ms as f64 / 1e3);
        }
    }
}

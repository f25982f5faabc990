//! Which partition Kafka's default partitioner gives a key.

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// Kafka's murmur2 of `bytes` (`org.apache.kafka.common.utils.Utils.murmur2`), as unsigned.
pub fn murmur2(bytes: &[u8]) -> u32 {
    // Java mixes the length in as an int; longer input than that cannot be a Kafka key.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (byte, shift) in rest.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a record with the key `key` in a topic of `partitions`. Connect spreads its offsets
/// in this way (`docs/spec/mm2.md` 3.5), so a tombstone must take it to find the record it deletes.
pub fn partition_for_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_kafka_does() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn spreads_connect_offsets_as_the_spec_says() {
        let partitions = NonZeroU32::new(25).expect("not zero");
        for (key, partition) in [
            (
                r#"["MirrorSourceConnector",{"cluster":"A","partition":0,"topic":"t"}]"#,
                7,
            ),
            (
                r#"["MirrorHeartbeatConnector",{"sourceClusterAlias":"A","targetClusterAlias":"B"}]"#,
                0,
            ),
            (
                r#"["MirrorCheckpointConnector",{"partition":0,"topic":"A.t","group":"g"}]"#,
                21,
            ),
        ] {
            assert_eq!(
                partition_for_key(key.as_bytes(), partitions),
                partition,
                "{key}"
            );
        }
    }
}

//! Changing inputs: bytes, and frames as a whole.

use super::Random;

/// Length of a frame's length.
const PREFIX_BYTES: usize = 4;

/// Numbers at which code goes wrong.
#[cfg(test)]
const EDGES: [i64; 14] = [
    0,
    1,
    -1,
    -2,
    127,
    128,
    255,
    i16::MAX as i64,
    i16::MIN as i64,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
];

/// Cuts a stream into its frames, each with its length; what is no whole frame is the last one.
pub(super) fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let length = stream.first_chunk().map_or(0, |bytes| {
            usize::try_from(i32::from_be_bytes(*bytes)).unwrap_or(usize::MAX)
        });
        let end = length.saturating_add(PREFIX_BYTES).min(stream.len());
        let (frame, rest) = stream.split_at(end);
        frames.push(frame);
        stream = rest;
    }
    frames
}

/// Changes a stream of frames: one frame's bytes by `change` (its length follows, mostly), or the frames' number and order.
/// The result has at most `bytes_max` bytes.
pub fn mutate_frames(
    stream: &mut Vec<u8>,
    bytes_max: usize,
    random: &mut Random,
    mut change: impl FnMut(&mut Vec<u8>, usize, &mut Random),
) {
    let mut parts: Vec<Vec<u8>> = frames(stream).into_iter().map(<[u8]>::to_vec).collect();
    let room = bytes_max.saturating_sub(stream.len());
    let (one, other) = (random.below(parts.len()), random.below(parts.len()));
    match random.below(16) {
        chosen if chosen == 0 || parts.is_empty() => return change(stream, bytes_max, random),
        1 => parts.swap(one, other),
        2 => drop(parts.remove(one)),
        3 | 4 => parts.insert(one, parts[other].clone()),
        chosen => {
            let frame = &mut parts[one];
            let mut body = frame.split_off(frame.len().min(PREFIX_BYTES));
            // The key, the version and the correlation id stay more often than not.
            let front = if chosen < 14 { body.len().min(8) } else { 0 };
            let mut tail = body.split_off(front);
            let tail_max = tail.len() + room;
            change(&mut tail, tail_max, random);
            body.append(&mut tail);
            if chosen != 15 || frame.len() < PREFIX_BYTES {
                let length = i32::try_from(body.len()).unwrap_or(i32::MAX);
                *frame = length.to_be_bytes().to_vec();
            }
            frame.append(&mut body);
        }
    }
    *stream = parts.concat();
    stream.truncate(bytes_max);
}

/// Changes bytes without knowing what they mean: a few small changes at once.
#[cfg(test)]
pub(super) fn bytes(input: &mut Vec<u8>, bytes_max: usize, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(8)).min(input.len());
        match random.below(6) {
            0 => drop(input.drain(at..end)),
            1 => {
                let copy = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            2 => input.insert(at, random.number().to_le_bytes()[0]),
            3 => input.iter_mut().skip(at).take(1).for_each(|byte| {
                *byte ^= 1 << random.below(8);
            }),
            _ => {
                let edge = random.of(&EDGES).to_be_bytes();
                let width = *random.of(&[1, 2, 4, 8]);
                for (byte, edge) in input.iter_mut().skip(at).zip(&edge[8 - width..]) {
                    *byte = *edge;
                }
            }
        }
    }
    input.truncate(bytes_max);
}

//! JSON as Connect writes it: Jackson's escapes, members in the order of a Java hash map.
//!
//! Connect looks offsets up by the bytes of the key, so order and escapes are part of the format
//! (`docs/spec/mm2.md` 3.5).

use serde_json::{Map, Value};

/// Capacity of a new `java.util.HashMap`.
const CAPACITY: usize = 16;

/// Appends `value`, compact.
pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(members) => write_object(out, members),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::String(text) => write_string(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.extend(value.to_string().as_bytes()),
    }
}

/// Appends an object with its members in the order of a Java hash map.
pub(super) fn write_object(out: &mut Vec<u8>, members: &Map<String, Value>) {
    let capacity = capacity_for(members.len());
    let mut ordered: Vec<_> = members.iter().collect();
    // Members of one bucket come in the order of insertion, which cannot be known: by name then.
    ordered.sort_by_key(|(name, _)| (spread_hash(name) & (capacity - 1), *name));
    out.push(b'{');
    for (index, (name, value)) in ordered.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}

/// Appends a string with Jackson's escapes: what JSON demands, and surrogate pairs.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '\u{8}' => out.extend(b"\\b"),
            '\t' => out.extend(b"\\t"),
            '\n' => out.extend(b"\\n"),
            '\u{c}' => out.extend(b"\\f"),
            '\r' => out.extend(b"\\r"),
            '\0'..' ' | '\u{10000}'.. => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend(format!("\\u{unit:04X}").as_bytes());
                }
            }
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// `java.util.HashMap` doubles when it is three quarters full.
fn capacity_for(members: usize) -> usize {
    let mut capacity = CAPACITY;
    while members > capacity / 4 * 3 {
        capacity *= 2;
    }
    capacity
}

/// `String.hashCode`, with the high half folded in as `HashMap.hash` does.
fn spread_hash(name: &str) -> usize {
    let hash = name.encode_utf16().fold(0u32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    });
    usize::try_from(hash ^ (hash >> 16)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(json: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, &serde_json::from_str(json).expect("valid JSON"));
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn members_take_the_order_of_a_java_hash_map() {
        for ordered in [
            r#"{"cluster":"A","partition":0,"topic":"t"}"#,
            r#"{"partition":0,"topic":"A.t","group":"g"}"#,
            r#"{"sourceClusterAlias":"A","targetClusterAlias":"B"}"#,
            r#"{"cluster":"a","partition":0,"x":"y","topic":"orders"}"#,
            r#"{"offset":5,"z":1}"#,
        ] {
            assert_eq!(written(ordered), ordered);
        }
        // 13 members, so 32 buckets: with 16 'p' (112) would come first, with 64 'B' (66) before 'a' (97).
        let names = [
            "a", "B", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "p",
        ];
        let many = format!(
            "{{{}}}",
            names.map(|name| format!("\"{name}\":0")).join(",")
        );
        assert_eq!(written(&many), many);
    }

    #[test]
    fn escapes_as_jackson_does() {
        let text = "\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1f}\u{7f}\u{e9}\u{20ac}\u{ffff}\u{1f600}";
        let mut out = Vec::new();
        write_string(&mut out, text);
        let wanted =
            "\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001F\u{7f}\u{e9}\u{20ac}\u{ffff}\\uD83D\\uDE00\"";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), wanted);
    }

    proptest! {
        #[test]
        fn any_string_reads_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("valid JSON"), text);
        }
    }
}

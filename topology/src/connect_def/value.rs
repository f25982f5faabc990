//! Reading values as Kafka's `ConfigDef` does, and its validators with their texts.

use super::{KeyDefinition, KeyType};

const SECURITY_PROTOCOLS: &[&str] = &["SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"];
/// What records pass through as they are.
pub(super) const BYTE_ARRAY_CONVERTER: &str =
    "org.apache.kafka.connect.converters.ByteArrayConverter";
/// The one converter that is for headers only.
const SIMPLE_HEADER_CONVERTER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

/// Full names of the classes that Kafka brings along and that these keys can name. Others cannot be loaded here.
const CLASSES: &[&str] = &[
    "org.apache.kafka.clients.admin.ForwardingAdmin",
    "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator",
    "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.ClientJwtValidator",
    "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
    "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
    "org.apache.kafka.common.security.ssl.DefaultSslEngineFactory",
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter",
    "org.apache.kafka.connect.mirror.DefaultGroupFilter",
    "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
    "org.apache.kafka.connect.mirror.DefaultTopicFilter",
    "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.storage.StringConverter",
];

/// What a text stands for, written as Kafka writes it, or the text of the error.
pub(super) fn parse(key: &KeyDefinition, text: &str) -> Result<String, String> {
    let trimmed = trim(text);
    let refuse = |why: &str| {
        let name = &key.name;
        Err(format!(
            "Invalid value {text} for configuration {name}: {why}"
        ))
    };
    let number = |read: Option<String>, name: &str| match read {
        Some(number) => Ok(number),
        None => refuse(&format!("Not a number of type {name}")),
    };
    match key.key_type {
        KeyType::Boolean => match trimmed.to_ascii_lowercase() {
            truth if truth == "true" || truth == "false" => Ok(truth),
            _ => refuse("Expected value to be either true or false"),
        },
        KeyType::Short => number(trimmed.parse::<i16>().ok().map(|n| n.to_string()), "SHORT"),
        KeyType::Int => number(trimmed.parse::<i32>().ok().map(|n| n.to_string()), "INT"),
        KeyType::Long => number(trimmed.parse::<i64>().ok().map(|n| n.to_string()), "LONG"),
        KeyType::Double => number(read_double(trimmed).map(show_double), "DOUBLE"),
        KeyType::String => Ok(trimmed.to_owned()),
        KeyType::List => Ok(items(text).join(",")),
        KeyType::Password => Ok("[hidden]".to_owned()),
        KeyType::Class => match find_class(text) {
            Some(class) => Ok(class.to_owned()),
            None => refuse(&format!("Class {text} could not be found.")),
        },
    }
}

/// Java's `String.trim`: drops control characters and blanks at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Java's `Double.parseDouble`, but for hexadecimal fractions.
fn read_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = match unsigned {
        "NaN" | "Infinity" => text,
        // `inf` and `nan` are numbers in Rust only.
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text)
        }
        _ => return None,
    };
    number.parse().ok()
}

/// Java's `Double.toString`.
fn show_double(number: f64) -> String {
    let size = number.abs();
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number.is_nan() || size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let shown = format!("{number:E}");
    match shown.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => shown,
    }
}

/// The items of a LIST. Empty ones are items, but there is none in an empty text.
pub(super) fn items(text: &str) -> Vec<&str> {
    let trimmed = trim(text);
    if trimmed.is_empty() {
        return Vec::new();
    }
    let is_space = |c| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    (trimmed.split(','))
        .map(|item| item.trim_matches(is_space))
        .collect()
}

/// The full name of a class. As plugins, converters have short names, too.
pub(super) fn find_class(text: &str) -> Option<&'static str> {
    let text = trim(text);
    let is_short = |class: &str| {
        let simple = class.rsplit('.').next().unwrap_or_default();
        let shorter = simple.strip_suffix("Converter");
        shorter.is_some() && (simple == text || shorter == Some(text))
    };
    (CLASSES.iter().copied()).find(|class| *class == text || is_short(class))
}

/// What Kafka's validator of a key says of a value that could be read, or of none.
pub(super) fn check(key: &KeyDefinition, value: Option<&str>) -> Vec<String> {
    let name = key.name.as_str();
    let refuse = |why: &str| {
        let value = value.unwrap_or("null");
        vec![format!(
            "Invalid value {value} for configuration {name}: {why}"
        )]
    };
    let one_of = |valid: &[&str], fold: bool| {
        let fits = |one: &&str| {
            value.is_none_or(|value| *one == value || fold && one.eq_ignore_ascii_case(value))
        };
        if valid.iter().any(fits) {
            return Vec::new();
        }
        let how = if fold { " (case insensitive)" } else { "" };
        refuse(&format!("String must be one of{how}: {}", valid.join(", ")))
    };
    let within = |least: f64, most: Option<f64>, optional: bool| {
        let shown = |bound: f64| match key.key_type {
            KeyType::Double => format!("{bound:?}"),
            _ => format!("{bound:.0}"),
        };
        match value.map(|text| text.parse::<f64>().unwrap_or(f64::NAN)) {
            None if optional => Vec::new(),
            None => refuse("Value must be non-null"),
            Some(number) if number < least => {
                refuse(&format!("Value must be at least {}", shown(least)))
            }
            Some(number) => match most {
                Some(most) if number > most => {
                    refuse(&format!("Value must be no more than {}", shown(most)))
                }
                _ => Vec::new(),
            },
        }
    };
    match name {
        "name" if value == Some("") => refuse("String may not be empty"),
        "name" => {
            let codes = value.unwrap_or_default().chars().filter(|c| c.is_control());
            let codes: Vec<_> = codes.map(|c| u32::from(c).to_string()).collect();
            if codes.is_empty() {
                return Vec::new();
            }
            let codes = codes.join(", ");
            refuse(&format!(
                "String may not contain control sequences but had the following ASCII chars: {codes}"
            ))
        }
        "key.converter" | "value.converter" => check_converter(value, "Converter"),
        "header.converter" => check_converter(value, "HeaderConverter"),
        "offsets.storage.topic" if value == Some("") => refuse("String must be non-empty"),
        "tasks.max" => within(1.0, None, false),
        "config.action.reload" => one_of(&["none", "restart"], false),
        "errors.tolerance" => one_of(&["none", "all"], false),
        "offset-syncs.topic.location" => one_of(&["source", "target"], false),
        "security.protocol" => one_of(SECURITY_PROTOCOLS, true),
        "sasl.oauthbearer.assertion.algorithm" => one_of(&["ES256", "RS256"], true),
        "exactly.once.support" => one_of(&["REQUIRED", "REQUESTED"], true),
        "transaction.boundary" => one_of(&["INTERVAL", "POLL", "CONNECTOR"], true),
        "transaction.boundary.interval.ms" => within(0.0, None, true),
        "sasl.login.refresh.window.factor" => within(0.5, Some(1.0), false),
        "sasl.login.refresh.window.jitter" => within(0.0, Some(0.25), false),
        "sasl.login.refresh.min.period.seconds" => within(0.0, Some(900.0), false),
        "sasl.login.refresh.buffer.seconds" => within(0.0, Some(3600.0), false),
        "sasl.oauthbearer.assertion.claim.exp.seconds" => within(0.0, Some(86400.0), false),
        "sasl.oauthbearer.assertion.claim.nbf.seconds" => within(0.0, Some(3600.0), false),
        _ if key.key_type == KeyType::List => check_list(name, value.unwrap_or_default()),
        _ => Vec::new(),
    }
}

/// Whether the class is a converter, or one of headers.
fn check_converter(class: Option<&str>, wanted: &str) -> Vec<String> {
    let fits = |class: &str| {
        class.ends_with("Converter")
            && (class != SIMPLE_HEADER_CONVERTER || wanted == "HeaderConverter")
    };
    let wrong = class.filter(|class| !fits(class));
    let texts =
        wrong.map(|class| format!("Class class {class} does not implement the {wanted} interface"));
    texts.into_iter().collect()
}

fn check_list(name: &str, value: &str) -> Vec<String> {
    let items = items(value);
    let mut distinct = items.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let duplicate = distinct.len() < items.len();
    let metric_names = name == "metric.names.formats";
    let error = match name {
        // An empty alias is one like others.
        "transforms" | "predicates" | "topic.creation.groups" => {
            let items = items.join(", ");
            duplicate.then(|| {
                format!(
                    "Invalid value [{items}] for configuration {name}: Duplicate alias provided."
                )
            })
        }
        _ if metric_names && items.is_empty() => Some(format!(
            "Configuration '{name}' must not be empty. Valid values include: [legacy, new]"
        )),
        _ if duplicate => Some(format!(
            "Configuration '{name}' values must not be duplicated."
        )),
        _ if metric_names => {
            let wrong = items.iter().find(|item| !["legacy", "new"].contains(item));
            wrong.map(|item| match *item {
                "" => format!("Configuration '{name}' values must not be empty."),
                _ => format!("Invalid value {item} for configuration {name}: String must be one of: legacy, new"),
            })
        }
        _ if items.contains(&"") => {
            Some(format!("Configuration '{name}' values must not be empty."))
        }
        _ => None,
    };
    error.into_iter().collect()
}

//! Pages of long lists, and numbers in queries: what is wrong with one is said with its name.

use std::ops::RangeInclusive;

use actix_web::{HttpRequest, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::errors::ApiError;

/// Rows per page.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Which page. Numbers are read by [`number`], since serde would not say which one is wrong.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Rows per page, 1 to 1000; default: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    limit: Option<String>,
    /// Rows before the page; default: 0.
    #[param(value_type = Option<u64>)]
    offset: Option<String>,
}

/// One page, while all rows pass by.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// Rows that have passed.
    pub(super) total: usize,
    /// Rows before the page.
    pub(super) offset: usize,
    limit: usize,
    pub(super) rows: Vec<T>,
}

impl Paging {
    /// The page, still empty.
    ///
    /// # Errors
    /// 400 with the parameter that is wrong.
    pub(super) fn page<T>(&self) -> Result<Page<T>, ApiError> {
        let limit = number("limit", self.limit.as_deref(), 1..=PAGE_MAX)?;
        let offset = number("offset", self.offset.as_deref(), 0..=usize::MAX)?;
        Ok(Page {
            total: 0,
            offset: offset.unwrap_or(0),
            limit: limit.unwrap_or(PAGE_DEFAULT),
            rows: Vec::new(),
        })
    }
}

impl<T> Page<T> {
    /// The next row passes; it is made only if it is on the page.
    pub(super) fn pass(&mut self, row: impl FnOnce() -> T) {
        if self.total >= self.offset && self.rows.len() < self.limit {
            self.rows.push(row());
        }
        self.total += 1;
    }
}

/// The query of a request.
///
/// # Errors
/// 400; the text names the parameter.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = web::Query::from_query(request.query_string());
    query
        .map(web::Query::into_inner)
        .map_err(|error| ApiError::bad_request(error.to_string()))
}

/// A whole number, if there is one.
///
/// # Errors
/// 400; the text names the parameter and what it may be.
pub(super) fn number<T>(
    name: &str,
    text: Option<&str>,
    allowed: RangeInclusive<T>,
) -> Result<Option<T>, ApiError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(number) if allowed.contains(&number) => Ok(Some(number)),
        _ => Err(ApiError::bad_request(format!(
            "{name}: write {} to {}",
            allowed.start(),
            allowed.end()
        ))),
    }
}

/// Refuses what is none of these words.
///
/// # Errors
/// 400; the text names the parameter and the words.
pub(super) fn one_of<const N: usize>(
    name: &str,
    text: Option<&str>,
    words: [&'static str; N],
) -> Result<(), ApiError> {
    match text {
        Some(text) if !words.contains(&text) => {
            let words = words.join(", ");
            Err(ApiError::bad_request(format!(
                "{name}: write one of {words}"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether a filter lets this through; one that is not set does.
pub(super) fn lets(filter: Option<&str>, value: &str) -> bool {
    filter.is_none_or(|wanted| wanted == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(limit: Option<&str>, offset: Option<&str>) -> Paging {
        Paging {
            limit: limit.map(str::to_owned),
            offset: offset.map(str::to_owned),
        }
    }

    #[test]
    fn a_page_is_cut_out_of_what_passes() {
        let mut page = paging(Some("3"), Some("4")).page().unwrap();
        let mut made = 0;
        for row in 0..10 {
            page.pass(|| {
                made += 1;
                row
            });
        }
        assert_eq!((page.rows, page.total, made), (vec![4, 5, 6], 10, 3));
        let mut beyond = paging(None, Some("4")).page().unwrap();
        beyond.pass(|| ());
        assert_eq!((beyond.rows.len(), beyond.total), (0, 1));
    }

    #[test]
    fn a_bad_number_is_named_with_what_it_may_be() {
        for (limit, offset, said) in [
            (Some("0"), None, "limit: write 1 to 1000"),
            (Some("1001"), None, "limit: write 1 to 1000"),
            (Some("x"), None, "limit: write 1 to 1000"),
            (Some(""), None, "limit: write 1 to 1000"),
            (None, Some("-1"), "offset: write 0 to 18446744073709551615"),
        ] {
            let refused = paging(limit, offset).page::<()>().unwrap_err();
            assert_eq!(refused.to_string(), said);
        }
        assert!(one_of("state", Some("due"), ["due", "behind"]).is_ok());
        let refused = one_of("state", Some("Due"), ["due", "behind"]).unwrap_err();
        assert_eq!(refused.to_string(), "state: write one of due, behind");
    }
}

//! Pages of lists: `per_page`, `page` and the `Link` header, as GitHub has them.

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::http::Faces;
use crate::http::answer::Refusal;

/// Entries of a page when the client does not say.
const PER_PAGE_USUAL: usize = 30;
/// Most entries of a page.
const PER_PAGE_MAX: usize = 100;
/// Highest page number that is counted.
const PAGE_MAX: usize = 1_000_000;

/// Which part of a list is wanted.
#[derive(Debug)]
pub(crate) struct Page {
    number: usize,
    pub(crate) size: usize,
    /// Address of this list without `page`, ending with `?` or `&`.
    address: String,
}

/// How many entries a list has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Total {
    /// So many.
    Known(usize),
    /// Not counted; there are more after this page.
    More,
    /// Not counted; this page is the last.
    NoMore,
}

#[derive(Debug, Deserialize)]
struct Numbers {
    per_page: Option<usize>,
    page: Option<usize>,
}

impl FromRequestParts<Faces> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, faces: &Faces) -> Result<Self, Refusal> {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let numbers = Query::<Numbers>::try_from_uri(uri)
            .map_err(|_| Refusal::wrong_shape("per_page and page must be numbers."))?
            .0;
        let others =
            uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("page="));
        let query: String = others.map(|pair| format!("{pair}&")).collect();
        Ok(Self {
            number: numbers.page.unwrap_or(1).clamp(1, PAGE_MAX),
            size: numbers.per_page.unwrap_or(PER_PAGE_USUAL).clamp(1, PER_PAGE_MAX),
            address: format!("{}{}?{query}", faces.base_url, uri.path()),
        })
    }
}

impl Page {
    /// How many entries come before this page.
    pub(crate) fn skip(&self) -> usize {
        (self.number - 1) * self.size
    }

    /// The entries of this page out of all.
    pub(crate) fn cut<T>(&self, all: Vec<T>) -> (Vec<T>, Total) {
        let total = Total::Known(all.len());
        (all.into_iter().skip(self.skip()).take(self.size).collect(), total)
    }

    /// The entries of this page, when one more than a page was read from its beginning.
    pub(crate) fn cut_read<T>(&self, mut read: Vec<T>) -> (Vec<T>, Total) {
        let total = if read.len() > self.size { Total::More } else { Total::NoMore };
        read.truncate(self.size);
        (read, total)
    }

    /// An answer with the `Link` header.
    pub(crate) fn answer(&self, body: Value, total: Total) -> Response {
        let mut response = Json(body).into_response();
        let links = self.links(total);
        if let Ok(value) = HeaderValue::from_str(&links)
            && !links.is_empty()
        {
            response.headers_mut().insert(header::LINK, value);
        }
        response
    }

    fn links(&self, total: Total) -> String {
        let link = |page: usize, rel: &str| format!("<{}page={page}>; rel=\"{rel}\"", self.address);
        let last = match total {
            Total::Known(entries) => Some(entries.div_ceil(self.size).max(1)),
            Total::More | Total::NoMore => None,
        };
        let more = match total {
            Total::Known(_) => last.is_some_and(|last| self.number < last),
            Total::More => true,
            Total::NoMore => false,
        };
        let mut links = Vec::new();
        if self.number > 1 {
            links.push(link(self.number - 1, "prev"));
        }
        if more {
            links.push(link(self.number + 1, "next"));
            links.extend(last.map(|last| link(last, "last")));
        }
        if self.number > 1 {
            links.push(link(1, "first"));
        }
        links.join(", ")
    }
}

//! A body with its credentials masked.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{HeaderMap, body::Incoming};
use tokio::time::{Sleep, sleep};

use crate::{
    forward::mask_headers,
    inner::BodyError,
    limits::SECRET_BYTES_MIN,
    mask::{Masker, Masks},
};

/// A few bytes that could be the beginning of a credential wait this long for the rest, so that an event whose last letter is
/// a credential's first does not wait for the next event. Longer beginnings wait until something follows.
pub(crate) const SHORT_WAIT: Duration = Duration::from_millis(200);

/// See the module's documentation.
pub(crate) struct MaskedBody {
    body: Incoming,
    masks: Masks,
    held: Vec<u8>,
    wait: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl MaskedBody {
    pub(crate) fn new(body: Incoming, masks: Masks) -> Self {
        Self { body, masks, held: Vec::new(), wait: None, trailers: None, ended: false }
    }

    fn finish(&mut self) -> Option<Frame<Bytes>> {
        self.ended = true;
        let rest = Masker::new(&self.masks, &mut self.held).finish();
        (!rest.is_empty()).then(|| Frame::data(Bytes::from(rest)))
    }

    /// Whether the few bytes that wait have waited long enough.
    fn waited(&mut self, context: &mut Context<'_>) -> bool {
        if self.held.is_empty() || self.held.len() >= SECRET_BYTES_MIN {
            return false;
        }
        let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(SHORT_WAIT)));
        let over = wait.as_mut().poll(context).is_ready();
        if over {
            self.wait = None;
        }
        over
    }
}

impl Body for MaskedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        this.wait = None;
                        let out = Masker::new(&this.masks, &mut this.held).push(&data);
                        if !out.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
                        }
                    }
                    Err(frame) => {
                        if let Ok(mut trailers) = frame.into_trailers() {
                            mask_headers(&mut trailers, &this.masks);
                            this.trailers = Some(trailers);
                        }
                        if let Some(rest) = this.finish() {
                            return Poll::Ready(Some(Ok(rest)));
                        }
                    }
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    if let Some(rest) = this.finish() {
                        return Poll::Ready(Some(Ok(rest)));
                    }
                }
                Poll::Pending if this.waited(context) => {
                    let short = Bytes::from(std::mem::take(&mut this.held));
                    return Poll::Ready(Some(Ok(Frame::data(short))));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

//! What a body hands on at a time. `http_body`'s frame in a third of its room: it goes through many hands, and hardly ever holds trailers.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// See the module.
#[derive(Debug)]
pub enum Portion {
    /// Content.
    Data(Bytes),
    /// The trailers, the last that is handed on.
    Trailers(Box<HeaderMap>),
}

impl From<Portion> for Frame<Bytes> {
    fn from(portion: Portion) -> Self {
        match portion {
            Portion::Data(data) => Self::data(data),
            Portion::Trailers(trailers) => Self::trailers(*trailers),
        }
    }
}

impl From<Frame<Bytes>> for Portion {
    fn from(frame: Frame<Bytes>) -> Self {
        frame.into_data().map_or_else(
            |frame| Self::Trailers(Box::new(frame.into_trailers().unwrap_or_default())),
            Self::Data,
        )
    }
}

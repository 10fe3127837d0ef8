//! Images, as far as a file's first bytes tell.

use bytes::Bytes;
use hangar_protocol::event::ImageKind;
use imagesize::ImageType;

use crate::{limits, tools::Tell};

/// An image for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What kind of file it is.
    pub kind: ImageKind,
    /// The file.
    pub bytes: Bytes,
}

/// Whether a file is an image that models are shown: `None` where it is another file.
///
/// # Errors
/// Words for the model: the image is larger than services take, and one that they refuse would spoil every later request.
pub(crate) fn of(name: &str, bytes: &Bytes, size: u64) -> Option<Result<(Picture, String), Tell>> {
    let kind = match imagesize::image_type(bytes).ok()? {
        ImageType::Png => ImageKind::Png,
        ImageType::Jpeg => ImageKind::Jpeg,
        ImageType::Gif => ImageKind::Gif,
        ImageType::Webp => ImageKind::Webp,
        _ => return None,
    };
    Some(measured(name, kind, bytes, size))
}

fn measured(name: &str, kind: ImageKind, bytes: &Bytes, size: u64) -> Result<(Picture, String), Tell> {
    let too_large = |what: String| {
        Tell(format!("{name} cannot be shown: {what}. Make a smaller copy, for instance with ImageMagick's convert."))
    };
    if size > limits::IMAGE_BYTES_MAX {
        return Err(too_large(format!("it has {size} bytes, and at most {} are shown", limits::IMAGE_BYTES_MAX)));
    }
    let sides = imagesize::blob_size(bytes).map_err(|_| Tell(format!("{name} is a damaged image.")))?;
    let most = limits::IMAGE_SIDE_PIXELS_MAX;
    if sides.width == 0 || sides.height == 0 || sides.width > most || sides.height > most {
        return Err(too_large(format!("it has {} × {} pixels, and a side has 1 to {most}", sides.width, sides.height)));
    }
    let told =
        format!("{name}: an image of {} × {} pixels ({}, {size} bytes).", sides.width, sides.height, kind.media_type());
    Ok((Picture { kind, bytes: bytes.clone() }, told))
}

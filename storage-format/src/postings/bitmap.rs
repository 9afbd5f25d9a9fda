//! Roaring bitmaps as bytes: the portable serialisation all roaring libraries share.

use roaring::RoaringBitmap;

/// Encodes a bitmap. Equal bitmaps give equal bytes: containers are first brought into their smallest form.
pub(crate) fn encode_bitmap(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut canonical = bitmap.clone();
    canonical.optimize();
    let mut bytes = Vec::with_capacity(canonical.serialized_size());
    canonical.serialize_into(&mut bytes).expect("writing to memory does not fail");
    bytes
}

/// Decodes a bitmap with every internal check; `None` when the bytes are not exactly one bitmap.
pub(crate) fn decode_bitmap(mut bytes: &[u8]) -> Option<RoaringBitmap> {
    let bitmap = RoaringBitmap::deserialize_from(&mut bytes).ok()?;
    bytes.is_empty().then_some(bitmap)
}

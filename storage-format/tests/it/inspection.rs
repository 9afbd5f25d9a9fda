//! The dump of every kind of file names what is in it, also when a block is damaged.

use std::fs;

use segue_storage_format::{FileKind, inspect_file};
use serde_json::json;

use crate::samples;

#[test]
fn every_kind_is_dumped_with_its_values() {
    let cases = [
        (
            FileKind::Vectors,
            "/content",
            json!({ "rows": 3, "dim": 3, "stride_elements": 16, "first": [[1.0, -2.5, 0.0], [4.0, 5.0, 6.0], [f32::MIN_POSITIVE, f32::MAX, -0.0]] }),
        ),
        (FileKind::Codes, "/blocks/0/first_row_hex", json!("0102030405000000")),
        (
            FileKind::Graph,
            "/content/links/0",
            json!({ "block": "nodes", "links_offset": 4, "links_per_row": 3, "nodes": 3 }),
        ),
        (
            FileKind::Columns,
            "/content/columns/3",
            json!({ "name": "album", "type": "u64", "first": [u64::MAX, 1] }),
        ),
        (FileKind::Columns, "/content/columns/7/first", json!([[5, 6], []])),
        (FileKind::Columns, "/content/columns/9/first/0", json!("5 bytes: first")),
        (FileKind::Postings, "/content/parts/0/first/1", json!({ "key": 9, "rows": 90_000 })),
        (FileKind::Postings, "/content/parts/2/first", json!([[-1, 5], [80, 0], [100, 2]])),
        (FileKind::Ids, "/content", json!({ "rows": 4, "first": ["track:1", "", "spår-2", "track:3"] })),
        (FileKind::Tombstones, "/content", json!({ "log_index": 42, "deleted": 3, "first": [1, 2, 70_000] })),
        (FileKind::Blob, "/content", json!({ "schema": 3, "payload_bytes": 6 })),
        (FileKind::Manifest, "/content/segments/1/files/2/name", json!("graph")),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (kind, pointer, expected) in cases {
        let report = inspect_file(&folder.path().join(samples::write(folder.path(), kind))).unwrap();
        let document = report.to_json();
        assert_eq!(document.pointer(pointer), Some(&expected), "{kind}{pointer}: {document:#}");
        assert_eq!((&document["kind"], &document["version"]), (&json!(kind.name()), &json!(1)));
        let text = report.to_string();
        assert!(text.contains(&format!(": {kind} version 1, {} bytes", report.length)), "{text}");
        assert!(report.blocks.iter().all(|block| text.contains(block.tag.as_str())), "{text}");
    }
}

#[test]
fn a_damaged_block_is_shown_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(samples::write(folder.path(), FileKind::Columns));
    let mut bytes = fs::read(&path).unwrap();
    bytes[64] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = inspect_file(&path).unwrap();
    assert_eq!(report.to_json()["damage"][0]["offset"], 64);
    assert!(
        report.to_string().contains("DAMAGED at 64..128 in block c0000val: checksum mismatch"),
        "{report}"
    );
}

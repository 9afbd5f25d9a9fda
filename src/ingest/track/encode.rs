//! From tracks to columns.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::super::write::{Encode, text_list, text_lists};
use super::TrackTable;
use crate::error::{Error, Result};
use crate::types::{AudioFeatures, RegionSet, Track};

impl Encode for TrackTable {
    type Row = Track;

    fn schema(&self) -> SchemaRef {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        let mut fields = vec![
            text("track_id", false),
            text("recording_id", false),
            text("title", false),
            text_list("artist_ids"),
            text_list("artist_names"),
            text("album_id", true),
            text("album", true),
            text("label", true),
            text_list("genres"),
            Field::new(
                "genre_confidences",
                DataType::List(Arc::new(Field::new("item", DataType::Float32, true))),
                true,
            ),
            Field::new("release_date", DataType::Date32, true),
            Field::new("duration_ms", DataType::Int64, true),
            Field::new("popularity", DataType::Float32, true),
            Field::new("explicit", DataType::Boolean, true),
            text_list("regions"),
            Field::new("key", DataType::Int32, true),
            Field::new("mode", DataType::Int32, true),
        ];
        fields.extend(FEATURES.iter().map(|(name, _)| Field::new(*name, DataType::Float32, true)));
        Arc::new(Schema::new(fields))
    }

    fn encode(&self, rows: &[Track]) -> Result<RecordBatch> {
        let texts = |get: fn(&Track) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(get).collect::<StringArray>())
        };
        let numbers = |get: fn(&AudioFeatures) -> Option<f32>| -> ArrayRef {
            Arc::new(rows.iter().map(|track| get(&track.audio)).collect::<Float32Array>())
        };
        let small = |get: fn(&AudioFeatures) -> Option<u8>| -> ArrayRef {
            Arc::new(rows.iter().map(|track| get(&track.audio).map(i32::from)).collect::<Int32Array>())
        };
        let mut columns: Vec<ArrayRef> = vec![
            texts(|track| Some(track.track_id.as_str())),
            texts(|track| Some(track.recording_id.as_str())),
            texts(|track| Some(&track.title)),
            lists(rows, |track| track.artists.iter().map(|artist| artist.id.as_str()).collect()),
            lists(rows, |track| track.artists.iter().map(|artist| artist.name.as_str()).collect()),
            texts(|track| track.album_id.as_ref().map(|id| id.as_str())),
            texts(|track| track.album.as_deref()),
            texts(|track| track.label.as_deref()),
            lists(rows, |track| track.genres.iter().map(|tag| tag.genre.as_str()).collect()),
            confidences(rows),
            Arc::new(rows.iter().map(|track| track.release_date.map(|date| date.0)).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|track| track.duration_ms.map(i64::from)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|track| track.popularity).collect::<Float32Array>()),
            Arc::new(rows.iter().map(|track| track.explicit).collect::<BooleanArray>()),
            regions(rows),
            small(|audio| audio.key),
            small(|audio| audio.mode),
        ];
        columns.extend(FEATURES.iter().map(|(_, get)| numbers(*get)));
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::Internal(error.to_string()))
    }
}

type Feature = (&'static str, fn(&AudioFeatures) -> Option<f32>);

const FEATURES: [Feature; 9] = [
    ("danceability", |audio| audio.danceability),
    ("energy", |audio| audio.energy),
    ("loudness", |audio| audio.loudness),
    ("speechiness", |audio| audio.speechiness),
    ("acousticness", |audio| audio.acousticness),
    ("instrumentalness", |audio| audio.instrumentalness),
    ("liveness", |audio| audio.liveness),
    ("valence", |audio| audio.valence),
    ("tempo", |audio| audio.tempo),
];

fn lists<'a>(rows: &'a [Track], get: impl Fn(&'a Track) -> Vec<&'a str>) -> ArrayRef {
    let texts: Vec<Vec<&str>> = rows.iter().map(get).collect();
    text_lists(texts.iter().map(|row| Some(&row[..])))
}

/// Null where a track is available everywhere.
fn regions(rows: &[Track]) -> ArrayRef {
    let codes: Vec<Option<Vec<String>>> = rows
        .iter()
        .map(|track| match &track.regions {
            RegionSet::All => None,
            RegionSet::Only(regions) => Some(regions.iter().map(ToString::to_string).collect()),
        })
        .collect();
    text_lists(codes.iter().map(Option::as_deref))
}

/// Null where the catalogue is sure of every genre.
fn confidences(rows: &[Track]) -> ArrayRef {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for track in rows {
        let graded = track.genres.iter().any(|tag| tag.confidence != 1.0);
        if graded {
            track.genres.iter().for_each(|tag| lists.values().append_value(tag.confidence));
        }
        lists.append(graded);
    }
    Arc::new(lists.finish())
}

//! How a tracks file says *everywhere*.
//!
//! Catalogues rarely say it outright: they list every market the service has. A file that names at least
//! [`MARKETS_MIN`] markets is taken to know them all, and a row that lists each of them is available
//! everywhere; in a file that names fewer, every list means just what it says.

use std::path::Path;
use std::str::FromStr;

use arrow_array::{Array, StringArray};

use super::super::cell::{CellError, CellResult};
use super::super::columns::{ColumnSpec, Kind};
use super::super::scan::scan;
use crate::error::{Error, Result};
use crate::types::{Region, RegionSet};

/// The fewest markets a file must name before a list of all of them means everywhere.
pub const MARKETS_MIN: usize = 20;

/// Spellings of *everywhere* in a list.
const EVERYWHERE: [&str; 2] = ["ALL", "*"];

/// The distinct regions of a file.
#[derive(Debug, Default)]
pub(super) struct Markets {
    count: usize,
}

impl Markets {
    /// Reads the regions column once.
    pub(super) fn of_file(path: &Path) -> Result<Self> {
        let mut seen = [false; 676];
        scan(path, &[ColumnSpec::required("regions", Kind::Texts)], |batch, _| {
            let lists = batch
                .texts("regions")?
                .ok_or_else(|| Error::Internal("regions is absent from a batch".to_owned()))?;
            let codes = lists.all_values();
            let codes = codes.as_any().downcast_ref::<StringArray>();
            for region in codes.into_iter().flatten().flatten().filter_map(|code| Region::from_str(code).ok())
            {
                seen[usize::from(region.number())] = true;
            }
            Ok(())
        })?;
        Ok(Self { count: seen.iter().filter(|&&named| named).count() })
    }

    /// What a row's cell means: null, `ALL` and `*` are everywhere, an empty list is nowhere.
    pub(super) fn region_set(&self, cell: Option<StringArray>) -> CellResult<RegionSet> {
        let Some(codes) = cell else { return Ok(RegionSet::All) };
        let mut regions = Vec::with_capacity(codes.len());
        for code in &codes {
            let code = code.ok_or_else(|| CellError::null("regions"))?;
            if EVERYWHERE.contains(&code) {
                return Ok(RegionSet::All);
            }
            regions.push(Region::from_str(code).map_err(|reason| CellError::new("regions", code, reason))?);
        }
        regions.sort_unstable();
        regions.dedup();
        if self.count >= MARKETS_MIN && regions.len() == self.count {
            return Ok(RegionSet::All);
        }
        Ok(RegionSet::Only(regions))
    }
}

//! What a column can hold.

use std::fmt;

use bytemuck::{AnyBitPattern, NoUninit};

/// The type of a column, stored as a number that is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ColumnType {
    /// One `u8` per row.
    U8 = 1,
    /// One `u16` per row.
    U16 = 2,
    /// One `u32` per row.
    U32 = 3,
    /// One `u64` per row.
    U64 = 4,
    /// One `i32` per row.
    I32 = 5,
    /// One `i64` per row.
    I64 = 6,
    /// One `f32` per row.
    F32 = 7,
    /// Any number of `u64` per row.
    ListU64 = 8,
    /// Any number of `u32` per row.
    ListU32 = 9,
    /// Any number of bytes per row.
    Payload = 10,
}

impl ColumnType {
    const ALL: [Self; 10] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::ListU64,
        Self::ListU32,
        Self::Payload,
    ];

    /// The stored number.
    pub const fn raw(self) -> u8 {
        self as u8
    }

    /// Finds the type of a number.
    pub fn from_raw(raw: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.raw() == raw)
    }

    /// Bytes of one element.
    pub const fn width(self) -> usize {
        match self {
            Self::U8 | Self::Payload => 1,
            Self::U16 => 2,
            Self::U32 | Self::I32 | Self::F32 | Self::ListU32 => 4,
            Self::U64 | Self::I64 | Self::ListU64 => 8,
        }
    }

    /// True when every row has exactly one element.
    pub const fn is_fixed(self) -> bool {
        !matches!(self, Self::ListU64 | Self::ListU32 | Self::Payload)
    }

    /// The lowercase name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::ListU64 => "list of u64",
            Self::ListU32 => "list of u32",
            Self::Payload => "payload",
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A number that a fixed-width column can hold.
pub trait FixedValue: NoUninit + AnyBitPattern + PartialOrd + fmt::Display + sealed::Sealed {
    /// The type of such a column.
    const TYPE: ColumnType;
}

/// A number that a list column can hold.
pub trait ListValue: FixedValue {
    /// The type of such a column.
    const LIST_TYPE: ColumnType;
}

macro_rules! fixed {
    ($($number:ty => $kind:ident),*) => {
        $(
            impl sealed::Sealed for $number {}
            impl FixedValue for $number {
                const TYPE: ColumnType = ColumnType::$kind;
            }
        )*
    };
}

fixed!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i32 => I32, i64 => I64, f32 => F32);

impl ListValue for u64 {
    const LIST_TYPE: ColumnType = ColumnType::ListU64;
}

impl ListValue for u32 {
    const LIST_TYPE: ColumnType = ColumnType::ListU32;
}

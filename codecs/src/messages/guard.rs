//! Bounds that formats don't have by themselves: [`Guard`].
//!
//! It stands between a deserializer and the type that is read, and lets everything pass but three
//! things:
//!
//! 1. Nesting beyond [`DEPTH`]: postcard counts no levels at all and rmp-serde none of enums, so that
//!    a hostile frame for a recursive type would overflow the stack, which ends the process.
//! 2. Elements beyond what the frame's bytes can stand for: in postcard those of a `Vec<()>` have no
//!    bytes, and ten bytes announce 2⁶⁴ of them.
//! 3. Announced lengths as hints of what to reserve: serde reserves up to 1 MiB for one, rmp-serde
//!    and ciborium pass on whatever the frame says, and sequences nest.
//!
//! It also asks each sequence and map for one element more than the type has taken. ciborium
//! doesn't, and takes what is left of an array for what comes behind the array.

use std::cell::Cell;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::FormatError;

/// The most levels that messages nest: one more than `serde_json` allows. A level takes some hundreds of
/// bytes of stack, or a few thousand without optimization, which stays within a thread's 2 MiB.
pub(super) const DEPTH: usize = 128;

/// The elements that any message may have beyond its bytes: more than anybody's `Vec<()>` has, and too
/// few to keep a thread busy.
const ELEMENTS: usize = 1024;

/// The bounds of one message.
#[derive(Debug)]
pub(super) struct Guard {
    levels: Cell<usize>,
    elements: Cell<usize>,
    most: usize,
    hints: bool,
    broken: Cell<Option<Bound>>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    Levels,
    Elements,
}

impl Guard {
    /// The bounds of a message of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        let most = len.saturating_add(ELEMENTS);
        Self {
            levels: Cell::new(DEPTH),
            elements: Cell::new(most),
            most,
            hints: true,
            broken: Cell::new(None),
        }
    }

    /// The message that the deserializer holds, if it stays within the bounds.
    pub(super) fn parse<'de, D, T, W>(&self, deserializer: D) -> Result<T, FormatError<D::Error, W>>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
    {
        T::deserialize(self.bound(deserializer)).map_err(|error| match self.broken.get() {
            Some(Bound::Levels) => FormatError::TooDeep { most: DEPTH },
            Some(Bound::Elements) => FormatError::TooMany { most: self.most },
            None => FormatError::Parse(error),
        })
    }

    fn bound<T>(&self, inner: T) -> Guarded<'_, T> {
        Guarded {
            inner,
            guard: self,
            announced: false,
        }
    }

    /// The same for what may be as long as the frame says, not as long as the type is.
    fn bound_announced<T>(&self, inner: T) -> Guarded<'_, T> {
        Guarded {
            announced: true,
            ..self.bound(inner)
        }
    }

    /// Goes one level down for as long as that takes.
    fn level<T, E: Error>(&self, visit: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let Some(left) = self.levels.get().checked_sub(1) else {
            self.broken.set(Some(Bound::Levels));
            return Err(E::custom("nested too deep"));
        };
        self.levels.set(left);
        let visited = visit();
        self.levels.set(left + 1);
        visited
    }

    fn element<E: Error>(&self) -> Result<(), E> {
        let Some(left) = self.elements.get().checked_sub(1) else {
            self.broken.set(Some(Bound::Elements));
            return Err(E::custom("too many elements"));
        };
        self.elements.set(left);
        Ok(())
    }

    fn hint(&self, announced: Option<usize>) -> Option<usize> {
        announced
            .filter(|_| self.hints)
            .map(|announced| announced.min(self.elements.get()))
    }
}

/// A message from a format whose deserializer can't be had, only be handed a type: ciborium. It
/// counts levels by itself, but no `Some`; and how many bytes there are isn't told here, so that
/// there are no hints.
#[cfg(feature = "cbor")]
pub(super) struct Unhinted<T>(pub(super) T);

#[cfg(feature = "cbor")]
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unhinted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let guard = Guard {
            levels: Cell::new(2 * DEPTH),
            hints: false,
            ..Guard::new(usize::MAX)
        };
        match guard.parse::<_, _, D::Error>(deserializer) {
            Ok(message) => Ok(Self(message)),
            Err(FormatError::Parse(error)) => Err(error),
            Err(beyond) => Err(D::Error::custom(beyond)),
        }
    }
}

/// A part of a deserializer, or of the type that is read, with the guard between them.
struct Guarded<'g, T> {
    inner: T,
    guard: &'g Guard,
    announced: bool,
}

impl<'g, T> Guarded<'g, T> {
    fn items<A>(&self, inner: A) -> Items<'g, A> {
        Items {
            inner,
            guard: self.guard,
            announced: self.announced,
            ended: false,
        }
    }
}

/// What a deserializer is asked for: the visitor gets it by way of the guard.
macro_rules! ask {
    ($bound:ident: $($method:ident($($arg:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($arg,)* self.guard.$bound(visitor))
        }
    )*};
}

/// What holds nothing else goes to the visitor directly.
macro_rules! ask_scalar {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guarded<'_, D> {
    type Error = D::Error;

    ask_scalar! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char
    }

    ask! { bound_announced:
        deserialize_any() deserialize_ignored_any() deserialize_identifier()
        deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_seq() deserialize_map()
    }

    ask! { bound:
        deserialize_option() deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident: $type:ty)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Guarded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool: bool
        visit_i8: i8 visit_i16: i16 visit_i32: i32 visit_i64: i64 visit_i128: i128
        visit_u8: u8 visit_u16: u16 visit_u32: u32 visit_u64: u64 visit_u128: u128
        visit_f32: f32 visit_f64: f64 visit_char: char
        visit_str: &str visit_borrowed_str: &'de str visit_string: String
        visit_bytes: &[u8] visit_borrowed_bytes: &'de [u8] visit_byte_buf: Vec<u8>
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.guard.bound(deserializer);
        self.guard.level(|| self.inner.visit_some(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        let deserializer = self.guard.bound(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let mut elements = self.items(elements);
        self.guard.level(|| {
            let value = self.inner.visit_seq(&mut elements)?;
            if elements.ended || elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(value);
            }
            Err(A::Error::custom("a sequence longer than its type"))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let mut entries = self.items(entries);
        self.guard.level(|| {
            let value = self.inner.visit_map(&mut entries)?;
            if entries.ended || entries.next_key::<IgnoredAny>()?.is_none() {
                return Ok(value);
            }
            Err(A::Error::custom("a map longer than its type"))
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.guard.bound(variant);
        self.guard.level(|| self.inner.visit_enum(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guarded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.guard.bound(deserializer))
    }
}

/// The elements of a sequence, or the entries of a map.
struct Items<'g, A> {
    inner: A,
    guard: &'g Guard,
    announced: bool,
    /// Whether the visitor has asked until there were no more. Then one doesn't ask again: ciborium
    /// would take the next byte for another element.
    ended: bool,
}

impl<A> Items<'_, A> {
    fn count<T, E: Error>(&mut self, item: Option<T>) -> Result<Option<T>, E> {
        self.ended = item.is_none();
        if self.announced && !self.ended {
            self.guard.element()?;
        }
        Ok(item)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(self.guard.bound(seed))?;
        self.count(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.guard.hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let key = self.inner.next_key_seed(self.guard.bound(seed))?;
        self.count(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.guard.bound(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.guard.hint(self.inner.size_hint())
    }
}

impl<'de, 'g, A: EnumAccess<'de>> EnumAccess<'de> for Guarded<'g, A> {
    type Error = A::Error;
    type Variant = Guarded<'g, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.inner.variant_seed(self.guard.bound(seed))?;
        Ok((name, self.guard.bound(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.guard.bound(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, self.guard.bound(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, self.guard.bound(visitor))
    }
}

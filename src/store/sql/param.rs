//! The parameters of statements.

use super::{
    users_table::{IdType, Names},
    uuid::{bytes_of_uuid, is_uuid, uuid_of_hex},
};

/// A parameter to bind.
#[derive(Clone, Copy)]
pub(super) enum Param<'a> {
    Text(Option<&'a str>),
    Integer(Option<i64>),
    Bool(bool),
    /// A UUID.
    Bytes([u8; 16]),
}

impl Names {
    /// The id in its column's type; `None` if it can be no user's.
    pub(super) fn id<'a>(&self, id: &'a str) -> Option<Param<'a>> {
        match self.id_type {
            IdType::Text => text(id),
            IdType::Integer => {
                let number = id.parse::<i64>().ok().filter(|number| number.to_string() == id);
                number.map(|number| Param::Integer(Some(number)))
            }
            IdType::Uuid => is_uuid(id).then_some(Param::Text(Some(id))),
            IdType::UuidBytes => bytes_of_uuid(id).map(Param::Bytes),
        }
    }

    /// The id of a row, of the text that a read gives for it.
    pub(super) fn shown_id(&self, text: String) -> String {
        match self.id_type {
            IdType::UuidBytes => uuid_of_hex(&text),
            IdType::Text | IdType::Integer | IdType::Uuid => text,
        }
    }
}

/// PostgreSQL stores no text with a NUL, so no user can have such a name.
pub(super) fn text(text: &str) -> Option<Param<'_>> {
    (!text.contains('\0')).then_some(Param::Text(Some(text)))
}

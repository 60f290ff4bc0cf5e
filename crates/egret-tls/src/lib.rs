//! Trusts: whom a client of a coordinator, or of a service, takes the other end for.
//!
//! Everything that dials over TLS gets its settings here, so that no part of egret can be built with
//! verification left out: [`client`] makes them for one of three kinds of [`Trust`]. A [`Pin`] names a key by its
//! hash: that of the coordinator itself, or of the authority which vouches for it. [`binding`] ties a
//! signature to the connection it is sent over.
//!
//! Absent: sockets, files, and the making of certificates, which is the coordinator's.

mod pin;
mod trust;

pub use pin::{Pin, PinError};
pub use trust::{COORDINATOR, NoAuthority, Trust, client, public_roots};

use rustls::{ConnectionCommon, SideData};

/// RFC 9266: bytes that both ends of this connection can make, and nobody else; `None`: it cannot be bound.
pub fn binding<Side: SideData>(connection: &ConnectionCommon<Side>) -> Option<[u8; 32]> {
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
}

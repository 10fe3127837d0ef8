//! Names nobody can guess.

/// 128 random bits in hexadecimal.
pub(crate) fn hex() -> String {
    let mut bytes = [0u8; 16];
    // The kernel's pool is full long before a server starts; a short read leaves zeros, which only makes the name less random.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

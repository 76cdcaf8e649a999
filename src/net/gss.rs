//! Tokens of Negotiate, made by the system's GSSAPI (RFC 2743, RFC 2744) with the user's ticket.
//!
//! The library is opened when it is first needed, so that the program starts where there is none.
//! The one room with `unsafe`: the calls go through pointers that the compiler can't check. What
//! they are given lives in this file and outlives each call; what they return is copied and
//! released at once. All of it blocks (a KDC, a resolver): callers use a thread for it.
#![expect(unsafe_code, reason = "a C library that is opened at run time")]

use std::ffi::c_void;
use std::fmt;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use libloading::Library;

use crate::auth::negotiate::NoToken;

/// MIT's, Heimdal's, and MIT's by the name that only developers have.
const LIBRARIES: [&str; 3] = ["libgssapi_krb5.so.2", "libgssapi.so.3", "libgssapi_krb5.so"];

/// 1.3.6.1.5.5.2, SPNEGO (RFC 4178).
static SPNEGO: [u8; 6] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

/// 1.2.840.113554.1.2.2, Kerberos itself (RFC 4121); it says what SPNEGO keeps to itself.
static KERBEROS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// 1.2.840.113554.1.2.1.4, `SERVICE@HOST`.
static HOST_BASED: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x01, 0x04];

/// 1.2.840.113554.1.2.2.1, `SERVICE/HOST@REALM`.
static PRINCIPAL: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01];

/// GSS_C_MUTUAL_FLAG: the proxy shall prove itself, where it says anything at all.
const MUTUAL: u32 = 2;

/// GSS_S_CONTINUE_NEEDED.
const CONTINUE_NEEDED: u32 = 1;

/// GSS_S_NO_CRED, GSS_S_CREDENTIALS_EXPIRED: routine errors are the third byte.
const NO_CRED: u32 = 7;
const CREDENTIALS_EXPIRED: u32 = 11;

/// GSS_S_FAILURE: "Minor code may provide more information" is all that there is to say about it.
const FAILURE: u32 = 13;

/// What Kerberos calls the reasons that have a remedy (MIT's and Heimdal's com_err numbers).
const TICKET_EXPIRED: u32 = -1_765_328_352_i32 as u32;
const SERVICE_UNKNOWN: u32 = -1_765_328_377_i32 as u32;

/// Texts of one error that are asked for.
const MAX_TEXTS: usize = 8;

/// A gss_buffer_desc.
#[repr(C)]
struct Buffer {
    length: usize,
    value: *const c_void,
}

impl Buffer {
    const EMPTY: Self = Self { length: 0, value: null() };

    /// Points to `bytes`, which must outlive the call that it is for.
    fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), value: bytes.as_ptr().cast() }
    }
}

/// A gss_OID_desc.
#[repr(C)]
struct Oid {
    length: u32,
    elements: *const c_void,
}

impl Oid {
    fn of(bytes: &'static [u8]) -> Self {
        // The identifiers above are at most ten bytes long.
        Self { length: bytes.len() as u32, elements: bytes.as_ptr().cast() }
    }
}

type Handle = *mut c_void;

type ImportName = unsafe extern "C" fn(*mut u32, *const Buffer, *const Oid, *mut Handle) -> u32;
type InitSecContext = unsafe extern "C" fn(
    *mut u32,
    Handle,
    *mut Handle,
    Handle,
    *const Oid,
    u32,
    u32,
    *const c_void,
    *const Buffer,
    *mut *const Oid,
    *mut Buffer,
    *mut u32,
    *mut u32,
) -> u32;
type DisplayStatus = unsafe extern "C" fn(*mut u32, u32, i32, *const Oid, *mut u32, *mut Buffer) -> u32;
type ReleaseBuffer = unsafe extern "C" fn(*mut u32, *mut Buffer) -> u32;
type ReleaseName = unsafe extern "C" fn(*mut u32, *mut Handle) -> u32;
type DeleteSecContext = unsafe extern "C" fn(*mut u32, *mut Handle, *mut Buffer) -> u32;

/// The library, and the six functions of it that are used.
struct Gss {
    import_name: ImportName,
    init_sec_context: InitSecContext,
    display_status: DisplayStatus,
    release_buffer: ReleaseBuffer,
    release_name: ReleaseName,
    delete_sec_context: DeleteSecContext,
    /// The functions are in it.
    _library: Library,
}

impl Gss {
    /// Opened once: a library belongs to the process, and this one starts threads and keeps state.
    fn get() -> Result<&'static Self, NoToken> {
        static GSS: OnceLock<Result<Gss, String>> = OnceLock::new();
        GSS.get_or_init(Self::open).as_ref().map_err(|why| NoToken::NoLibrary(why.clone()))
    }

    fn open() -> Result<Self, String> {
        let mut first = None;
        for name in LIBRARIES {
            // SAFETY: what a system's GSSAPI library does when it is loaded is harmless.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::within(library).map_err(|error| chain(&error)),
                Err(error) => drop(first.get_or_insert_with(|| chain(&error)).len()),
            }
        }
        Err(first.unwrap_or_default())
    }

    fn within(library: Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are those of RFC 2744 §5 and appendix A, as MIT and Heimdal have them.
        unsafe {
            Ok(Self {
                import_name: *library.get::<ImportName>(c"gss_import_name")?,
                init_sec_context: *library.get::<InitSecContext>(c"gss_init_sec_context")?,
                display_status: *library.get::<DisplayStatus>(c"gss_display_status")?,
                release_buffer: *library.get::<ReleaseBuffer>(c"gss_release_buffer")?,
                release_name: *library.get::<ReleaseName>(c"gss_release_name")?,
                delete_sec_context: *library.get::<DeleteSecContext>(c"gss_delete_sec_context")?,
                _library: library,
            })
        }
    }

    /// Copies what the library returned, and gives it back.
    fn take(&self, mut buffer: Buffer) -> Vec<u8> {
        let bytes = match buffer.value.is_null() {
            true => Vec::new(),
            // SAFETY: the library made it: `length` bytes that live until they are released.
            false => unsafe { std::slice::from_raw_parts(buffer.value.cast(), buffer.length) }.to_vec(),
        };
        // SAFETY: as above; released once.
        unsafe { (self.release_buffer)(&mut 0, &mut buffer) };
        bytes
    }

    /// The library's words for a failure: those of GSSAPI and those of the mechanism.
    fn words(&self, major: u32, minor: u32, mechanism: &Oid) -> String {
        /// GSS_C_GSS_CODE and GSS_C_MECH_CODE.
        const KINDS: [i32; 2] = [1, 2];
        let mut words: Vec<String> = Vec::new();
        for (kind, code) in KINDS.into_iter().zip([major, minor]) {
            if kind == KINDS[0] && routine(major) == FAILURE && minor != 0 {
                continue;
            }
            let mut more = 0;
            for _ in 0..MAX_TEXTS {
                let mut text = Buffer::EMPTY;
                // SAFETY: all pointers are to values of this function.
                let failed =
                    unsafe { (self.display_status)(&mut 0, code, kind, mechanism, &mut more, &mut text) };
                let text = String::from_utf8_lossy(&self.take(text)).trim().to_owned();
                if failed == 0 && !text.is_empty() && !words.contains(&text) {
                    words.push(text);
                }
                if failed != 0 || more == 0 {
                    break;
                }
            }
        }
        words.join(": ")
    }
}

/// One authentication to one proxy.
pub struct Context {
    gss: &'static Gss,
    service: Handle,
    context: Handle,
}

// SAFETY: RFC 2744 has no thread of its own for a context; MIT and Heimdal let any thread use it,
// one at a time, which `&mut` sees to.
unsafe impl Send for Context {}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// For the proxy; empty where there is nothing to say.
    pub token: Vec<u8>,
    /// The proxy has proved itself.
    pub complete: bool,
}

impl Context {
    /// For a service, `HTTP@proxy.example`; with a slash in it, it is a principal of Kerberos.
    ///
    /// # Errors
    /// There is no library, or the name is none.
    pub fn new(service: &str) -> Result<Self, NoToken> {
        let gss = Gss::get()?;
        let kind = Oid::of(if service.contains('/') { &PRINCIPAL } else { &HOST_BASED });
        let (mut name, mut minor) = (null_mut(), 0);
        // SAFETY: all pointers are to values of this function, and the name is copied.
        let major =
            unsafe { (gss.import_name)(&mut minor, &Buffer::of(service.as_bytes()), &kind, &mut name) };
        if major >> 16 != 0 {
            return Err(NoToken::Other(gss.words(major, minor, &Oid::of(&KERBEROS))));
        }
        Ok(Self { gss, service: name, context: null_mut() })
    }

    /// Makes the next token, of what the proxy sent to the last one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn step(&mut self, reply: Option<&[u8]>) -> Result<Step, NoToken> {
        let (major, minor, token) = self.init(&Oid::of(&SPNEGO), reply);
        if major >> 16 == 0 {
            return Ok(Step { token, complete: major & CONTINUE_NEEDED == 0 });
        }
        let said = self.gss.words(major, minor, &Oid::of(&SPNEGO));
        if reply.is_some() {
            return Err(NoToken::Other(said));
        }
        // SPNEGO says no more than that no mechanism would do: Kerberos says why.
        self.forget();
        let kerberos = Oid::of(&KERBEROS);
        let (major, minor, _) = self.init(&kerberos, None);
        self.forget();
        if major >> 16 == 0 {
            return Err(NoToken::Other(said));
        }
        let said = self.gss.words(major, minor, &kerberos);
        Err(match (routine(major), minor) {
            (CREDENTIALS_EXPIRED, _) | (_, TICKET_EXPIRED) => NoToken::Expired(said),
            (_, SERVICE_UNKNOWN) => NoToken::UnknownService(said),
            (NO_CRED, _) => NoToken::NoTicket(said),
            (_, _) => NoToken::Other(said),
        })
    }

    fn init(&mut self, mechanism: &Oid, reply: Option<&[u8]>) -> (u32, u32, Vec<u8>) {
        let (mut minor, mut output) = (0, Buffer::EMPTY);
        let input = reply.map_or(Buffer::EMPTY, Buffer::of);
        // SAFETY: the handles are the library's own or null, which stands for the user's default
        // credentials and a new context; the other pointers are to values that outlive the call;
        // null is allowed for what is not wanted (RFC 2744 §5.19).
        let major = unsafe {
            (self.gss.init_sec_context)(
                &mut minor,
                null_mut(),
                &mut self.context,
                self.service,
                mechanism,
                MUTUAL,
                0,
                null(),
                &input,
                null_mut(),
                &mut output,
                null_mut(),
                null_mut(),
            )
        };
        (major, minor, self.gss.take(output))
    }

    fn forget(&mut self) {
        // SAFETY: the handle is the library's own or null, and null afterwards.
        unsafe { (self.gss.delete_sec_context)(&mut 0, &mut self.context, null_mut()) };
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.forget();
        // SAFETY: the handle is the library's own, and not used again.
        unsafe { (self.gss.release_name)(&mut 0, &mut self.service) };
    }
}

/// The routine error in a major status (RFC 2744 §3.9.1).
fn routine(major: u32) -> u32 {
    (major >> 16) & 0xff
}

/// An error and its causes: the first alone says no more than "dlopen failed".
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

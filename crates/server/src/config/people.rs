//! The first person, and how long people stay signed in.

use hangar_protocol::UserId;

use super::{Shape, keys::section};

section! {
    /// `[people]`: the first person, and how long people stay signed in.
    PeopleConfig in "people" {
        /// Login of the owner that the first start makes; without it `$USER`, else `owner`.
        owner: Option<UserId> = None, Shape::Text;
        /// The owner's name, as commits carry it; without it git's `user.name`, else the login.
        owner_name: Option<String> = None, Shape::Text;
        /// The owner's address, as commits carry it; without it git's `user.email`, else `LOGIN@localhost`.
        owner_email: Option<String> = None, Shape::Text;
        /// How long a sign-in link works.
        sign_in_link_minutes: u32 = 15, Shape::Number("minutes");
        /// How long a browser stays signed in.
        cookie_days: u32 = 30, Shape::Number("days");
        /// Sign-in attempts answered per minute and address; more are refused with 429.
        sign_in_attempts_per_minute: u32 = 20, Shape::Number("attempts");
    }
}

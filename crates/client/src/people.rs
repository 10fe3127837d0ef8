//! Who asks, who may ask, and with which token.

use hangar_protocol::{
    UserId,
    api::{CreatedToken, Health, Me, NewToken, NewUser, SignIn, SignInLink, TokenInfo},
};
use reqwest::{Method, header};

use crate::{
    client::{Client, Pace},
    error::Error,
};

impl Client {
    /// `GET /healthz`: whether a hangar answers, and which version. Needs no token.
    pub async fn health(&self) -> Result<Health, Error> {
        self.get("/healthz").await
    }

    /// `GET /me`: the person this client asks for.
    pub async fn me(&self) -> Result<Me, Error> {
        self.get("/api/v1/me").await
    }

    /// `POST /sign-in`: trades the code of a one-time link (what stands behind `#`) for a client with a session cookie.
    pub async fn sign_in(&self, code: &str) -> Result<Client, Error> {
        let request = self.request(Method::POST, "/api/v1/sign-in").json(&SignIn { code: code.to_owned() });
        let response = self.send(request, Pace::Ordinary).await?;
        let cookie = response.headers().get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
        let pair = cookie.and_then(|text| text.split(';').next()).filter(|pair| pair.starts_with("hangar_session="));
        match pair {
            Some(pair) => self.with_cookie(pair.to_owned()),
            None => Err(self.strange("signing in gave no session cookie".to_owned())),
        }
    }

    /// `POST /sign-out`: ends the session of the cookie.
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.send(self.request(Method::POST, "/api/v1/sign-out"), Pace::Ordinary).await.map(drop)
    }

    /// `GET /users`: everybody who has an account.
    pub async fn users(&self) -> Result<Vec<Me>, Error> {
        self.get("/api/v1/users").await
    }

    /// `POST /users`: lets somebody in; the answer is their first sign-in link. Owners only.
    pub async fn add_user(&self, user: &NewUser) -> Result<SignInLink, Error> {
        self.post("/api/v1/users", user, Pace::Ordinary).await
    }

    /// `POST /users/{user}/sign-in-link`: a new one-time link, for oneself or (owners) for anybody.
    pub async fn sign_in_link(&self, user: &UserId) -> Result<SignInLink, Error> {
        let request = self.request(Method::POST, &format!("/api/v1/users/{user}/sign-in-link"));
        self.json(self.send(request, Pace::Ordinary).await?).await
    }

    /// `GET /tokens`: one's own tokens, without their secrets.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, Error> {
        self.get("/api/v1/tokens").await
    }

    /// `POST /tokens`: a new token; its secret is in this answer and nowhere else.
    pub async fn create_token(&self, label: &str) -> Result<CreatedToken, Error> {
        self.post("/api/v1/tokens", &NewToken { label: label.to_owned() }, Pace::Ordinary).await
    }

    /// `DELETE /tokens/{id}`: the token stops working at once.
    pub async fn remove_token(&self, id: u32) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("/api/v1/tokens/{id}"));
        self.send(request, Pace::Ordinary).await.map(drop)
    }
}

//! Who takes part in a session, and its being put away or deleted.

use hangar_protocol::{
    InvitationId, SessionId, SessionRole, UserId, Visibility,
    api::{
        InvitationInfo, InvitationSecret, InvitationView, Joined, NewInvitation, NewInvitationLink, RoleWish,
        VisibilityWish,
    },
    people::Deletion,
};
use reqwest::{Method, RequestBuilder};

use crate::{
    client::{Client, Pace},
    error::Error,
};

impl Client {
    /// `PUT /sessions/{id}/members/{user}`: gives somebody a role of their own in a session. Its owners only.
    pub async fn set_role(&self, id: &SessionId, user: &UserId, role: SessionRole) -> Result<(), Error> {
        self.done(self.of(Method::PUT, id, &format!("members/{user}")).json(&RoleWish { role })).await
    }

    /// `DELETE /sessions/{id}/members/{user}`: takes somebody's own role away. Its owners, and everybody for themselves.
    pub async fn remove_member(&self, id: &SessionId, user: &UserId) -> Result<(), Error> {
        self.done(self.of(Method::DELETE, id, &format!("members/{user}"))).await
    }

    /// `POST /sessions/{id}/take`: makes oneself an owner of a session. Owners of the server only.
    pub async fn take_ownership(&self, id: &SessionId) -> Result<(), Error> {
        self.done(self.of(Method::POST, id, "take")).await
    }

    /// `PUT /sessions/{id}/visibility`: who may see a session. Its owners only.
    pub async fn set_visibility(&self, id: &SessionId, visibility: Visibility) -> Result<(), Error> {
        self.done(self.of(Method::PUT, id, "visibility").json(&VisibilityWish { visibility })).await
    }

    /// `GET /sessions/{id}/invitations`: the open ones, without their secrets.
    pub async fn invitations(&self, id: &SessionId) -> Result<Vec<InvitationInfo>, Error> {
        self.get(&format!("/api/v1/sessions/{id}/invitations")).await
    }

    /// `POST /sessions/{id}/invitations`: a link by which people become members; it is in this answer and nowhere else.
    pub async fn invite(&self, id: &SessionId, new: &NewInvitation) -> Result<NewInvitationLink, Error> {
        self.post(&format!("/api/v1/sessions/{id}/invitations"), new, Pace::Ordinary).await
    }

    /// `DELETE /sessions/{id}/invitations/{invitation}`: its link lets nobody in any more.
    pub async fn revoke_invitation(&self, id: &SessionId, invitation: InvitationId) -> Result<(), Error> {
        self.done(self.of(Method::DELETE, id, &format!("invitations/{invitation}"))).await
    }

    /// `POST /sessions/{id}/invitations/look`: what a link invites to.
    pub async fn look_at_invitation(&self, id: &SessionId, secret: &str) -> Result<InvitationView, Error> {
        let secret = InvitationSecret { secret: secret.to_owned() };
        self.post(&format!("/api/v1/sessions/{id}/invitations/look"), &secret, Pace::Ordinary).await
    }

    /// `POST /sessions/{id}/join`: accepts an invitation.
    pub async fn join(&self, id: &SessionId, secret: &str) -> Result<Joined, Error> {
        let secret = InvitationSecret { secret: secret.to_owned() };
        self.post(&format!("/api/v1/sessions/{id}/join"), &secret, Pace::Ordinary).await
    }

    /// `POST /sessions/{id}/archive`: lists leave it out from now on.
    pub async fn archive(&self, id: &SessionId) -> Result<(), Error> {
        self.done(self.of(Method::POST, id, "archive")).await
    }

    /// `POST /sessions/{id}/unarchive`: it is listed again.
    pub async fn unarchive(&self, id: &SessionId) -> Result<(), Error> {
        self.done(self.of(Method::POST, id, "unarchive")).await
    }

    /// `DELETE /sessions/{id}`: deletes a session; the answer says until when it can be taken back.
    pub async fn delete_session(&self, id: &SessionId) -> Result<Deletion, Error> {
        let request = self.request(Method::DELETE, &format!("/api/v1/sessions/{id}"));
        self.json(self.send(request, Pace::Ordinary).await?).await
    }

    /// `POST /sessions/{id}/undelete`: takes it back.
    pub async fn undelete_session(&self, id: &SessionId) -> Result<(), Error> {
        self.done(self.of(Method::POST, id, "undelete")).await
    }

    fn of(&self, method: Method, id: &SessionId, rest: &str) -> RequestBuilder {
        self.request(method, &format!("/api/v1/sessions/{id}/{rest}"))
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), Error> {
        self.send(request, Pace::Ordinary).await.map(drop)
    }
}

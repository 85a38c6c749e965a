//! Identity's part of the graph: translation only.
//!
//! Signing in, refreshing and signing out stay with REST: tokens do not belong
//! into answers that may be kept or traced.

use async_graphql::{
    Context, EmptySubscription, Enum, ID, InputObject, Interface, Object, Result, Schema,
    SimpleObject, Union,
};
use platform::graphql::{
    Batch, CommonRefusal, NodeId, Refusal, Subgraph, batch, caller, held, limited, or_null,
    outcome_of_answer, signed_in,
};
use platform::idempotency;
use shared_types::UserId;
use shared_types::identity as told;

use crate::{App, accounts};

type Users = Batch<UserId, told::User>;

/// The subgraph over `app`.
pub fn graph(app: App) -> Subgraph {
    let schema = Schema::build(Query, Mutation, EmptySubscription)
        .register_output_type::<Node>()
        .register_output_type::<Refusal>()
        .data(app.clone());
    let schema = limited(schema).finish();
    let verifier = app.ctx.verifier.clone();
    Subgraph::new("identity", schema, verifier, move |request| {
        let users: Users =
            batch(&app, |app, ids| async move { accounts::accounts(&app, &ids).await });
        request.data(users)
    })
}

/// A role. `SUPPORT` is part of `MERCHANT`, which is part of `ADMIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::Role")]
pub enum Role {
    Guest,
    Customer,
    Support,
    Merchant,
    Admin,
    Operator,
    Partner,
    Service,
}

/// What has an id of its own in the graph.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Unique over the whole graph."))]
pub enum Node {
    User(User),
}

/// A person as that person and support see it.
pub struct User(told::User);

#[Object]
impl User {
    async fn id(&self) -> ID {
        NodeId::of("User", self.0.id)
    }

    /// The id as the REST API has it.
    async fn user_id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    async fn email(&self) -> &str {
        &self.0.email
    }

    async fn first_name(&self) -> &str {
        &self.0.first_name
    }

    async fn last_name(&self) -> &str {
        &self.0.last_name
    }

    async fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    async fn roles(&self) -> Vec<Role> {
        self.0.roles.iter().copied().map(Role::from).collect()
    }
}

/// The account, when the caller may see it.
async fn find(ctx: &Context<'_>, id: UserId) -> Result<Option<User>> {
    if !caller(ctx).is_some_and(|caller| accounts::may_see(caller, id)) {
        return Ok(None);
    }
    Ok(held::<Users>(ctx)?.load_one(id).await?.map(User))
}

pub struct Query;

#[Object]
impl Query {
    /// The caller's account; null for guests.
    #[graphql(complexity = "10 + child_complexity")]
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        or_null(ctx, async {
            match signed_in(ctx)?.user() {
                Some(id) => find(ctx, id).await,
                None => Ok(None),
            }
        })
        .await
    }

    /// One's own account, or any for support; otherwise null.
    #[graphql(complexity = "10 + child_complexity")]
    async fn user(&self, ctx: &Context<'_>, id: ID) -> Result<Option<User>> {
        or_null(ctx, async {
            signed_in(ctx)?;
            match NodeId::read("User", &id) {
                Some(id) => find(ctx, id).await,
                None => Ok(None),
            }
        })
        .await
    }

    #[graphql(entity)]
    async fn find_user_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<User>> {
        or_null(ctx, async {
            match NodeId::read("User", &id) {
                Some(id) => find(ctx, id).await,
                None => Ok(None),
            }
        })
        .await
    }
}

/// Somebody who wants an account.
#[derive(InputObject)]
pub struct RegisterUserInput {
    email: String,
    password: String,
    first_name: String,
    last_name: String,
    phone: Option<String>,
    /// Roles beyond `CUSTOMER`; only administrators give them.
    #[graphql(default)]
    roles: Vec<Role>,
}

#[derive(SimpleObject)]
pub struct UserRegistered {
    user: User,
}

#[derive(Union)]
pub enum RegisterUserResult {
    Registered(UserRegistered),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Makes an account.
    async fn register_user(
        &self,
        ctx: &Context<'_>,
        input: RegisterUserInput,
        #[graphql(desc = "Makes one account, however often it is sent.")] idempotency_key: Option<
            String,
        >,
    ) -> Result<RegisterUserResult> {
        let (app, caller) = (held::<App>(ctx)?, caller(ctx));
        let input = told::Registration {
            email: input.email,
            password: input.password,
            first_name: input.first_name,
            last_name: input.last_name,
            phone: input.phone,
            roles: input.roles.into_iter().map(Into::into).collect(),
        };
        let done = async {
            let key = match &idempotency_key {
                Some(key) => {
                    let key = idempotency::key_text(key)?;
                    Some(accounts::registration_key(app, caller, &key, &input)?)
                }
                None => None,
            };
            accounts::register(app, caller, input, key.as_ref()).await
        };
        let made = |_, user| RegisterUserResult::Registered(UserRegistered { user: User(user) });
        Ok(outcome_of_answer(done.await, made, RegisterUserResult::Refused)?)
    }
}

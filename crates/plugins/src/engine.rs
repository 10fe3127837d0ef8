//! One interpreter with one plugin in it.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use hangar_protocol::{HookPoint, limits::clip_bytes};
use rquickjs::{
    Coerced, Context, Ctx, Error, Function, Module, Object, Persistent, Runtime, Value,
    context::intrinsic::{Eval, Json, MapSet, Promise as Promises, Proxy, RegExp, RegExpCompiler},
    function::Rest,
    promise::PromiseState,
};

use crate::limits;

/// What the language has inside: no `Date` and no `performance`, so no clock; no shared memory to wait on.
type Language = (Eval, RegExpCompiler, RegExp, Json, Proxy, MapSet, Promises);

/// Errors of the language itself. A plugin that throws one has a bug; it did not decide anything.
const BUGS: [&str; 8] = [
    "AggregateError",
    "EvalError",
    "InternalError",
    "RangeError",
    "ReferenceError",
    "SyntaxError",
    "TypeError",
    "URIError",
];

/// What is said of a thrown value that is neither an error nor a text. Where memory is used up the language has none left for an error.
const NO_ERROR: &str = "it threw something that is no error, as it does when its memory is used up";

/// What a plugin is made of.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What it reads as `options`.
    pub(crate) options: Vec<String>,
    pub(crate) memory_bytes_max: usize,
}

/// A plugin that was loaded. Dropped whenever it fails: what a cut-off call left behind is not called again.
pub(crate) struct Engine {
    // Functions must go before the context that holds their runtime, so they stand first.
    hooks: Vec<(HookPoint, Persistent<Function<'static>>)>,
    context: Context,
    limits: Rc<CallLimits>,
}

/// What the call that runs now may still use.
#[derive(Default)]
struct CallLimits {
    until: Cell<Option<Instant>>,
    log_lines: Cell<u32>,
}

impl CallLimits {
    fn is_over(&self) -> bool {
        self.until.get().is_some_and(|until| Instant::now() >= until)
    }
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It returned. `output`, as it left it, in JSON.
    Returned(String),
    /// It threw an error of its own, with these words.
    Threw(String),
}

/// Why a hook gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its time was over.
    Time,
    /// Anything else, in words.
    Broken(String),
}

/// What went wrong in the language.
enum Thrown {
    OnPurpose(String),
    Failed(String),
}

impl Engine {
    /// Runs the plugin's file and takes its hooks.
    ///
    /// # Errors
    /// Why it does not load, in words for the administrator.
    pub(crate) fn load(source: &Source) -> Result<Self, String> {
        let broken = |error: Error| format!("the interpreter cannot be made: {error}");
        let runtime = Runtime::new().map_err(broken)?;
        runtime.set_memory_limit(source.memory_bytes_max);
        runtime.set_max_stack_size(limits::STACK_BYTES_MAX);
        let limits = Rc::new(CallLimits::default());
        let over = Rc::clone(&limits);
        runtime.set_interrupt_handler(Some(Box::new(move || over.is_over())));
        let context = Context::custom::<Language>(&runtime).map_err(broken)?;
        let mut engine = Self { hooks: Vec::new(), context, limits };
        engine.begin(limits::LOAD_DURATION_MAX);
        let loaded = engine.context.clone().with(|ctx| {
            engine.install(&ctx, source).map_err(|thrown| match thrown {
                Thrown::OnPurpose(words) | Thrown::Failed(words) => words,
            })
        });
        let overran = engine.end();
        match loaded {
            _ if overran => Err(format!("it did not come to its end within {} s", limits::LOAD_DURATION_MAX.as_secs())),
            Ok(hooks) => {
                engine.hooks = hooks;
                Ok(engine)
            }
            Err(words) => Err(words),
        }
    }

    /// The points at which it has a hook.
    pub(crate) fn points(&self) -> Vec<HookPoint> {
        self.hooks.iter().map(|(point, _)| *point).collect()
    }

    /// Calls a hook with two values in JSON.
    ///
    /// # Errors
    /// Why there is no answer. The engine must not be used again.
    pub(crate) fn call(&self, point: HookPoint, input: &str, output: &str, within: Duration) -> Result<Said, Fault> {
        let Some((_, hook)) = self.hooks.iter().find(|(known, _)| *known == point) else {
            return Err(Fault::Broken(format!("it has no hook {}", point.name())));
        };
        self.begin(within);
        let said = self.context.with(|ctx| match self.answer(&ctx, hook, input, output) {
            Ok(output) => Ok(Said::Returned(output)),
            Err(Thrown::OnPurpose(words)) => Ok(Said::Threw(words)),
            Err(Thrown::Failed(reason)) => Err(Fault::Broken(reason)),
        });
        if self.end() { Err(Fault::Time) } else { said }
    }

    fn begin(&self, within: Duration) {
        self.limits.until.set(Some(Instant::now() + within));
        self.limits.log_lines.set(0);
    }

    /// Whether the time was over at the end.
    fn end(&self) -> bool {
        let over = self.limits.is_over();
        self.limits.until.set(None);
        over
    }

    fn install<'js>(
        &self,
        ctx: &Ctx<'js>,
        source: &Source,
    ) -> Result<Vec<(HookPoint, Persistent<Function<'static>>)>, Thrown> {
        let thrown = |error| thrown(ctx, error);
        let globals = ctx.globals();
        let options = serde_json::to_string(&source.options).unwrap_or_default();
        globals.set("options", ctx.json_parse(options).map_err(thrown)?).map_err(thrown)?;
        let console = Object::new(ctx.clone()).map_err(thrown)?;
        for level in ["log", "info", "warn", "error"] {
            console.set(level, self.logger(ctx, &source.name).map_err(thrown)?).map_err(thrown)?;
        }
        globals.set("console", console).map_err(thrown)?;
        let module = Module::declare(ctx.clone(), source.name.as_str(), source.text.as_str()).map_err(thrown)?;
        let (module, promise) = module.eval().map_err(thrown)?;
        self.settle(ctx, promise.into_value())?;
        let exported: Value<'js> = module.get("hooks").map_err(|_| no_hooks())?;
        let Some(exported) = exported.into_object() else { return Err(no_hooks()) };
        let mut hooks = Vec::new();
        for name in exported.keys::<String>() {
            let name = name.map_err(thrown)?;
            let Some(point) = HookPoint::ALL.into_iter().find(|point| point.name() == name) else {
                let known: Vec<&str> = HookPoint::ALL.iter().map(|point| point.name()).collect();
                return Err(Thrown::Failed(format!("there is no hook {name:?}; the hooks are {}", known.join(", "))));
            };
            let hook: Value<'js> = exported.get(name.as_str()).map_err(thrown)?;
            let Some(hook) = hook.into_function() else {
                return Err(Thrown::Failed(format!("its hook {name} is no function")));
            };
            hooks.push((point, Persistent::save(ctx, hook)));
        }
        if hooks.is_empty() { Err(no_hooks()) } else { Ok(hooks) }
    }

    fn answer(
        &self,
        ctx: &Ctx<'_>,
        hook: &Persistent<Function<'static>>,
        input: &str,
        output: &str,
    ) -> Result<String, Thrown> {
        let thrown = |error| thrown(ctx, error);
        let hook = hook.clone().restore(ctx).map_err(thrown)?;
        let input = ctx.json_parse(input).map_err(thrown)?;
        let output = ctx.json_parse(output).map_err(thrown)?;
        let given: Value<'_> = hook.call((input, output.clone())).map_err(thrown)?;
        self.settle(ctx, given)?;
        let left = ctx.json_stringify(output).map_err(thrown)?;
        let left = left.ok_or_else(|| Thrown::Failed("its output is nothing that JSON can say".to_owned()))?;
        left.to_string().map_err(thrown)
    }

    /// Runs what waits until nothing does, and looks whether a promise that was given came to its end.
    fn settle<'js>(&self, ctx: &Ctx<'js>, given: Value<'js>) -> Result<(), Thrown> {
        while ctx.execute_pending_job() {
            if self.limits.is_over() {
                return Err(Thrown::Failed("it took too long".to_owned()));
            }
        }
        let Some(promise) = given.into_promise() else { return Ok(()) };
        match promise.state() {
            PromiseState::Resolved => Ok(()),
            PromiseState::Pending => Err(Thrown::Failed("its promise never settles".to_owned())),
            PromiseState::Rejected => match promise.result::<Value<'js>>() {
                Some(Err(error)) => Err(thrown(ctx, error)),
                Some(Ok(_)) | None => Err(Thrown::Failed("its promise was rejected".to_owned())),
            },
        }
    }

    fn logger<'js>(&self, ctx: &Ctx<'js>, plugin: &str) -> rquickjs::Result<Function<'js>> {
        let (plugin, limits) = (plugin.to_owned(), Rc::clone(&self.limits));
        Function::new(ctx.clone(), move |words: Rest<Coerced<String>>| {
            let line = limits.log_lines.get();
            if line < limits::LOG_LINES_MAX {
                limits.log_lines.set(line + 1);
                let words: Vec<String> = words.0.into_iter().map(|word| word.0).collect();
                let words = words.join(" ");
                tracing::info!(plugin, "{}", clip_bytes(&words, limits::LOG_LINE_BYTES_MAX));
            }
        })
    }
}

fn no_hooks() -> Thrown {
    Thrown::Failed(
        "it exports no hooks: `export const hooks = { \"tool.execute.before\": (input, output) => { … } }`".to_owned(),
    )
}

/// What was thrown, in words; an error of the language is a failure, any other is meant.
fn thrown(ctx: &Ctx<'_>, error: Error) -> Thrown {
    if !error.is_exception() {
        return Thrown::Failed(error.to_string());
    }
    let value = ctx.catch();
    if let Some(words) = value.as_string().and_then(|words| words.to_string().ok()) {
        return Thrown::OnPurpose(clip_bytes(&words, limits::THROWN_BYTES_MAX).to_owned());
    }
    let Some(object) = value.as_exception().map(rquickjs::Exception::as_object) else {
        return Thrown::Failed(NO_ERROR.to_owned());
    };
    // Reading them may run code of the plugin, which may throw again.
    let text = |key: &str| match object.get::<_, Option<String>>(key) {
        Ok(text) => text.unwrap_or_default(),
        Err(_) => {
            ctx.catch();
            String::new()
        }
    };
    let (name, message, stack) = (text("name"), text("message"), text("stack"));
    let message = clip_bytes(&message, limits::THROWN_BYTES_MAX);
    match BUGS.contains(&name.as_str()) {
        true => {
            let place = stack.lines().next().map(str::trim).unwrap_or_default();
            Thrown::Failed(
                format!("{name}: {message} {}", clip_bytes(place, limits::THROWN_BYTES_MAX)).trim().to_owned(),
            )
        }
        false if message.is_empty() => Thrown::OnPurpose("The plugin refused without saying why.".to_owned()),
        false => Thrown::OnPurpose(message.to_owned()),
    }
}

//! Why a question to the API isn't answered: a status, a code for programs, a sentence for people.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use lakeward_connect::mart::MartError;
use serde_json::{Value, json};

/// Why a question isn't answered.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    /// With a code that programs can tell apart.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A question that is wrong itself.
    pub fn bad(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_QUESTION", message)
    }

    /// What is answered.
    pub fn body(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message } })
    }
}

impl From<MartError> for Refusal {
    fn from(error: MartError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(self.body())
    }
}

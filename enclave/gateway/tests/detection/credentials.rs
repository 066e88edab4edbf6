//! Credentials in the forms of those who give them, where people and programs put them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::dice::{Dice, Plant};

const WORD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";

pub const PLANTS: &[Plant] = &[
    Plant {
        what: "api_key",
        value: api_key,
        says: &[
            "use {}.",
            "export KEY={}",
            "“{}”",
            "\"key\":\"{}\",",
            "curl -H 'x: {}'",
            "der Schlüssel ist {}, danke",
            "密钥{}。",
            "key {} leaked",
            "`{}`",
            "?key={}&x=1",
        ],
    },
    Plant {
        what: "jwt",
        value: jwt,
        says: &[
            "Bearer {}",
            "token={};",
            "“{}”",
            "\"id_token\":\"{}\"",
            "got {} back",
            "cookie: s={}; path=/",
        ],
    },
    Plant {
        what: "private_key",
        value: private_key,
        says: &["key:\n{}\nend", "{}", "“{}”", "cat > id <<E\n{}\nE", "here is mine {} thanks"],
    },
    Plant {
        what: "credential_in_url",
        value: url,
        says: &[
            "DATABASE_URL={}db.example.com/app",
            "connect to {}10.0.0.1:5432/x",
            "“{}host.example/”",
            "git clone {}git.example/r.git",
        ],
    },
    Plant {
        what: "random_value",
        value: password,
        says: &[
            "password: {}",
            "my password is {}",
            "PASSWORD={}\n",
            "\"client_secret\": \"{}\"",
            "DB_PASS='{}'",
            "passphrase = {}",
            "Passwort: {}",
            "secret key: {}",
            "auth_token: {}",
            "mot de passe : {}",
            "contraseña: {}",
            "pwd={};",
            "密码：{}",
            "the password for staging is {} by the way",
        ],
    },
    Plant {
        what: "random_value",
        value: token,
        says: &[
            "aws_secret_access_key = {}",
            "\"api_key\": \"{}\"",
            "AccountKey={};",
            "Authorization: Basic {}",
            "api key: {}",
            "SECRET_KEY=\"{}\"",
            "x-api-key: {}",
            "signing_key: {}",
            "token is {}",
            "--token {}",
        ],
    },
];

fn api_key(dice: &mut Dice) -> String {
    let upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    match dice.below(28) {
        0 => format!("AKIA{}", dice.letters(upper, 16)),
        1 => format!("sk-proj-{}", dice.letters(url, 48)),
        2 => format!("sk-ant-api03-{}AA", dice.letters(url, 93)),
        3 => format!("ghp_{}", dice.letters(WORD, 36)),
        4 => format!("github_pat_{}_{}", dice.letters(WORD, 22), dice.letters(WORD, 59)),
        5 => format!("glpat-{}", dice.letters(url, 20)),
        6 => format!("xoxb-{}-{}-{}", dice.digits(12), dice.digits(12), dice.letters(WORD, 24)),
        7 => format!("AIza{}", dice.letters(url, 35)),
        8 => format!("sk_live_{}", dice.letters(WORD, 24)),
        9 => format!("SG.{}.{}", dice.letters(WORD, 22), dice.letters(WORD, 43)),
        10 => format!("hf_{}", dice.letters(WORD, 34)),
        11 => format!("npm_{}", dice.letters(WORD, 36)),
        12 => format!("gsk_{}", dice.letters(WORD, 52)),
        13 => format!("pypi-{}", dice.letters(url, 160)),
        14 => format!("dop_v1_{}", dice.letters(HEX, 64)),
        15 => format!("GOCSPX-{}", dice.letters(WORD, 28)),
        16 => format!("dapi{}", dice.letters(HEX, 32)),
        17 => format!("hvs.{}", dice.letters(WORD, 90)),
        18 => format!("dckr_pat_{}", dice.letters(WORD, 27)),
        19 => format!("lin_api_{}", dice.letters(WORD, 40)),
        20 => format!("PMAK-{}-{}", dice.letters(HEX, 24), dice.letters(HEX, 34)),
        21 => format!("glsa_{}_{}", dice.letters(WORD, 32), dice.letters(HEX, 8)),
        22 => format!("pplx-{}", dice.letters(WORD, 48)),
        23 => format!("r8_{}", dice.letters(WORD, 37)),
        24 => format!("xai-{}", dice.letters(WORD, 80)),
        25 => format!("{}:AA{}", dice.digits(10), dice.letters(WORD, 33)),
        26 => format!("SK{}", dice.letters(HEX, 32)),
        _ => format!("shpat_{}", dice.letters(HEX, 32)),
    }
}

fn jwt(dice: &mut Dice) -> String {
    let header = *dice.pick(&[
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"typ":"JWT","alg":"RS256","kid":"k1"}"#,
        r#"{"alg":"ES256"}"#,
    ]);
    let claims = format!(r#"{{"sub":"{}","exp":{}}}"#, dice.digits(10), dice.digits(10));
    let signature: Vec<u8> = (0..32).map(|_| dice.below(256) as u8).collect();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(&signature))
}

fn private_key(dice: &mut Dice) -> String {
    let kind = *dice.pick(&["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]);
    let lines: String = (0..dice.between(3, 20)).map(|_| format!("{}\n", dice.letters(WORD, 64))).collect();
    format!("-----BEGIN {kind}PRIVATE KEY-----\n{lines}-----END {kind}PRIVATE KEY-----")
}

fn url(dice: &mut Dice) -> String {
    let scheme = *dice.pick(&["postgres", "mongodb+srv", "redis", "https", "amqp", "mysql"]);
    let user = *dice.pick(&["app", "root", "ci-bot", ""]);
    let user = if scheme == "redis" {
        ""
    } else if user.is_empty() {
        "x"
    } else {
        user
    };
    format!("{scheme}://{user}:{}@", dice.letters(WORD, dice_length(scheme)))
}

fn dice_length(scheme: &str) -> usize {
    6 + scheme.len()
}

fn password(dice: &mut Dice) -> String {
    const WORDS: [&str; 8] =
        ["Sunshine", "dragon", "Trustno", "Winter", "monkey", "Schatz", "letmein", "Coffee"];
    match dice.below(4) {
        0 => format!("{}{}", dice.pick(&WORDS), dice.between(10, 2999)),
        1 => format!("{}{}#{}", dice.pick(&WORDS), dice.below(99), dice.pick(&WORDS)),
        2 => format!("{}-{}-{}", dice.pick(&WORDS), dice.pick(&WORDS), dice.between(1, 99)),
        _ => {
            let drawn = dice.letters("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789@%&*-", 14);
            format!("a{drawn}7x")
        }
    }
}

fn token(dice: &mut Dice) -> String {
    let random =
        |dice: &mut Dice, count: u64| -> Vec<u8> { (0..count).map(|_| dice.below(256) as u8).collect() };
    match dice.below(4) {
        0 => dice.letters(HEX, 32),
        1 => STANDARD.encode(random(dice, 30)),
        2 => STANDARD.encode(random(dice, 64)),
        _ => dice.letters(WORD, 24),
    }
}

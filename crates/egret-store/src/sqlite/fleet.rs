//! Join tokens, agents, their egresses and the ledgers of those.

use egret_core::id::AgentId;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{self, rows};
use super::names::Names;
use crate::row::{AgentRow, EgressRow, EnrolRequest, Enrolment, LedgerRow, TokenKept, TokenRow};

/// Adds a join token.
pub(super) fn add_token(db: &Connection, token: &TokenRow) -> Result<()> {
    const SQL: &str = "INSERT INTO tokens (id, secret_hash, uses, expires_ms, tags, services) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(SQL)?.execute(params![
        token.id,
        token.secret_hash,
        token.uses,
        column::whole(token.expires_ms),
        column::tags(&token.tags)?,
        column::tags(&token.services)?,
    ])?;
    Ok(())
}

/// Spends one use of a token and adds the agent.
pub(super) fn enrol(db: &Connection, request: &EnrolRequest) -> Result<Enrolment> {
    // Both sides are SHA-256 of a random secret: how far they agree tells nothing about it.
    let kept = token(db, &request.token)?.filter(|kept| kept.token.secret_hash == request.secret_hash);
    let Some(TokenKept { token, used, revoked_ms }) = kept else { return Ok(Enrolment::Unknown) };
    if revoked_ms.is_some() {
        return Ok(Enrolment::Revoked);
    }
    if request.now_ms >= token.expires_ms {
        return Ok(Enrolment::Expired);
    }
    if used >= token.uses {
        return Ok(Enrolment::UsedUp);
    }
    let agent = AgentRow {
        tags: token.tags,
        services: token.services,
        ..AgentRow::new(request.agent, &request.name, request.public_key, request.now_ms)
    };
    add_agent(db, &agent)?;
    db.prepare_cached("INSERT INTO token_uses VALUES (?1, ?2)")?
        .execute(params![token.id, column::id(agent.id.0)?])?;
    Ok(Enrolment::Joined(agent))
}

/// Every token, by id.
pub(super) fn tokens(db: &Connection) -> Result<Vec<TokenKept>> {
    rows(db, &format!("{TOKENS} ORDER BY id"), [], read_token)
}

/// Takes a token back, if there is one.
pub(super) fn revoke_token(db: &Connection, id: &str, now_ms: u64) -> Result<bool> {
    let sql = "UPDATE tokens SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.execute(params![id, column::whole(now_ms)])? > 0)
}

/// All agents that were not revoked, by id.
pub(super) fn agents(db: &Connection) -> Result<Vec<AgentRow>> {
    rows(db, &format!("{AGENTS} ORDER BY id"), [], read_agent)
}

/// One agent that was not revoked.
pub(super) fn agent(db: &Connection, id: AgentId) -> Result<Option<AgentRow>> {
    db.prepare_cached(&format!("{AGENTS} AND id = ?1"))?
        .query_row([column::sought(id.0)], read_agent)
        .optional()
}

/// Takes an agent's place back, if it has one.
pub(super) fn revoke_agent(db: &Connection, id: AgentId, now_ms: u64) -> Result<bool> {
    let sql = "UPDATE agents SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
    Ok(db.prepare_cached(sql)?.execute(params![column::sought(id.0), column::whole(now_ms)])? > 0)
}

/// Raises the number of an agent's last session.
pub(super) fn save_epoch(db: &Connection, id: AgentId, epoch: u64, is_confirmed: bool) -> Result<()> {
    let sql = if is_confirmed {
        "UPDATE agents SET confirmed = max(confirmed, ?2), offered = max(offered, ?2) WHERE id = ?1"
    } else {
        "UPDATE agents SET offered = max(offered, ?2) WHERE id = ?1"
    };
    db.prepare_cached(sql)?.execute(params![column::id(id.0)?, column::whole(epoch)])?;
    Ok(())
}

/// Records when a copy of an agent's key came.
pub(super) fn note_double(db: &Connection, id: AgentId, now_ms: u64) -> Result<()> {
    let sql = "UPDATE agents SET doubled_ms = ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![column::id(id.0)?, column::whole(now_ms)])?;
    Ok(())
}

/// Replaces the checkpoints of the given ledgers.
pub(super) fn save_ledgers(db: &Connection, ledgers: &[LedgerRow]) -> Result<()> {
    let mut services = Names::services(db);
    let mut save = db.prepare_cached(
        "INSERT INTO ledgers VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (egress, service) DO UPDATE SET taken_ms = excluded.taken_ms, state = excluded.state",
    )?;
    for ledger in ledgers {
        let service = services.number(&ledger.service)?;
        save.execute(params![ledger.egress, service, column::whole(ledger.taken_ms), ledger.state])?;
    }
    Ok(())
}

/// Every checkpoint.
pub(super) fn ledgers(db: &Connection) -> Result<Vec<LedgerRow>> {
    const SQL: &str = "
        SELECT l.egress, s.name, l.taken_ms, l.state FROM ledgers l JOIN services s ON s.id = l.service
        ORDER BY l.egress, s.name";
    rows(db, SQL, [], |row| {
        Ok(LedgerRow {
            egress: row.get(0)?,
            service: row.get(1)?,
            taken_ms: column::number(row, 2)?,
            state: row.get(3)?,
        })
    })
}

/// Records who speaks for the given egresses.
pub(super) fn save_egresses(db: &Connection, egresses: &[EgressRow]) -> Result<()> {
    let mut save = db.prepare_cached("INSERT OR REPLACE INTO egresses VALUES (?1, ?2, ?3, ?4)")?;
    for egress in egresses {
        let agent = column::id(egress.agent.0)?;
        save.execute(params![
            egress.address,
            agent,
            egress.memory.cast_signed(),
            column::whole(egress.since_ms)
        ])?;
    }
    Ok(())
}

/// Every egress ever seen.
pub(super) fn egresses(db: &Connection) -> Result<Vec<EgressRow>> {
    rows(db, "SELECT address, agent, memory, since_ms FROM egresses ORDER BY address", [], |row| {
        Ok(EgressRow {
            address: row.get(0)?,
            agent: AgentId(column::number(row, 1)?),
            memory: column::number(row, 2)?,
            since_ms: column::number(row, 3)?,
        })
    })
}

const TOKENS: &str = "
    SELECT id, secret_hash, uses, expires_ms, tags, services, revoked_ms,
           (SELECT count(*) FROM token_uses WHERE token = id)
    FROM tokens";
const AGENTS: &str = "
    SELECT id, name, public_key, tags, services, enrolled_ms, confirmed, offered, doubled_ms
    FROM agents WHERE revoked_ms IS NULL";

fn token(db: &Connection, id: &str) -> Result<Option<TokenKept>> {
    db.prepare_cached(&format!("{TOKENS} WHERE id = ?1"))?.query_row([id], read_token).optional()
}

fn read_token(row: &Row<'_>) -> Result<TokenKept> {
    let token = TokenRow {
        id: row.get(0)?,
        secret_hash: row.get(1)?,
        uses: row.get(2)?,
        expires_ms: column::number(row, 3)?,
        tags: column::read_tags(row, 4)?,
        services: column::read_tags(row, 5)?,
    };
    Ok(TokenKept { token, revoked_ms: column::perhaps(row, 6)?, used: row.get(7)? })
}

fn add_agent(db: &Connection, agent: &AgentRow) -> Result<()> {
    const SQL: &str = "INSERT INTO agents (id, name, public_key, tags, services, enrolled_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(SQL)?.execute(params![
        column::id(agent.id.0)?,
        agent.name,
        agent.public_key,
        column::tags(&agent.tags)?,
        column::tags(&agent.services)?,
        column::whole(agent.enrolled_ms),
    ])?;
    Ok(())
}

fn read_agent(row: &Row<'_>) -> Result<AgentRow> {
    Ok(AgentRow {
        id: AgentId(column::number(row, 0)?),
        name: row.get(1)?,
        public_key: row.get(2)?,
        tags: column::read_tags(row, 3)?,
        services: column::read_tags(row, 4)?,
        enrolled_ms: column::number(row, 5)?,
        confirmed: column::number(row, 6)?,
        offered: column::number(row, 7)?,
        doubled_ms: column::perhaps(row, 8)?,
    })
}

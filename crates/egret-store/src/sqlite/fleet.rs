//! Join tokens, agents, their egresses and the ledgers of those.

use egret_core::id::AgentId;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{self, rows};
use super::names::Names;
use crate::row::{AgentRow, EgressRow, EnrolRequest, Enrolment, LedgerRow, TokenRow};

/// Adds a join token.
pub(super) fn add_token(db: &Connection, token: &TokenRow) -> Result<()> {
    db.prepare_cached("INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        token.id,
        token.secret_hash,
        token.uses,
        column::whole(token.expires_ms),
        column::tags(&token.tags)?,
    ])?;
    Ok(())
}

/// Spends one use of a token and adds the agent.
pub(super) fn enrol(db: &Connection, request: &EnrolRequest) -> Result<Enrolment> {
    // Both sides are SHA-256 of a random secret: how far they agree tells nothing about it.
    let Some(token) = token(db, &request.token)?.filter(|t| t.secret_hash == request.secret_hash) else {
        return Ok(Enrolment::Unknown);
    };
    if request.now_ms >= token.expires_ms {
        return Ok(Enrolment::Expired);
    }
    if spent(db, &token.id)? >= token.uses {
        return Ok(Enrolment::UsedUp);
    }
    let agent = AgentRow {
        id: request.agent,
        name: request.name.clone(),
        public_key: request.public_key,
        tags: token.tags,
        enrolled_ms: request.now_ms,
    };
    add_agent(db, &agent)?;
    db.prepare_cached("INSERT INTO token_uses VALUES (?1, ?2)")?
        .execute(params![token.id, column::id(agent.id.0)?])?;
    Ok(Enrolment::Joined(agent))
}

/// All agents, by id.
pub(super) fn agents(db: &Connection) -> Result<Vec<AgentRow>> {
    rows(db, "SELECT id, name, public_key, tags, enrolled_ms FROM agents ORDER BY id", [], read_agent)
}

/// One agent.
pub(super) fn agent(db: &Connection, id: AgentId) -> Result<Option<AgentRow>> {
    db.prepare_cached("SELECT id, name, public_key, tags, enrolled_ms FROM agents WHERE id = ?1")?
        .query_row([column::sought(id.0)], read_agent)
        .optional()
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

fn token(db: &Connection, id: &str) -> Result<Option<TokenRow>> {
    db.prepare_cached("SELECT id, secret_hash, uses, expires_ms, tags FROM tokens WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(TokenRow {
                id: row.get(0)?,
                secret_hash: row.get(1)?,
                uses: row.get(2)?,
                expires_ms: column::number(row, 3)?,
                tags: column::read_tags(row, 4)?,
            })
        })
        .optional()
}

fn spent(db: &Connection, token: &str) -> Result<u32> {
    db.prepare_cached("SELECT count(*) FROM token_uses WHERE token = ?1")?
        .query_row([token], |row| row.get(0))
}

fn add_agent(db: &Connection, agent: &AgentRow) -> Result<()> {
    db.prepare_cached("INSERT INTO agents VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        column::id(agent.id.0)?,
        agent.name,
        agent.public_key,
        column::tags(&agent.tags)?,
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
        enrolled_ms: column::number(row, 4)?,
    })
}

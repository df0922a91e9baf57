//! Rules of nf_tables, which iptables-nft writes too (Linux `include/uapi/linux/netfilter/nf_tables.h`): tables, chains, sets
//! and rules are dumped; a rule is a program of small expressions, which is read back into what it tests and does.

mod expression;
mod field;
mod rule;
mod sets;
mod statement;
mod values;

use std::collections::HashMap;

use mesh_net::{Attributes, Dump, Errno, Netlink, NetlinkError, NetlinkFamily};
use mesh_proto::{Backend, Base, Hook, Missing, NFTABLES_RULES, TableFamily};

use self::rule::RuleReader;
use self::sets::Sets;
use super::ip_sets::IpSets;
use super::links::Names;
use super::octets::i32_at;
use super::reader::{absent, changing};
use super::tables::{TableIndex, Tables};

const SUBSYSTEM: u16 = 10 << 8;
const NFT_MSG_GETTABLE: u16 = SUBSYSTEM + 1;
const NFT_MSG_GETCHAIN: u16 = SUBSYSTEM + 4;
const NFT_MSG_GETRULE: u16 = SUBSYSTEM + 7;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM + 16;
/// `struct nfgenmsg`: family, version, resource.
const NFGENMSG: usize = 4;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_HOOK_DEVS: u16 = 4;
const NFTA_GEN_ID: u16 = 1;

/// All tables of all families, or the reason why not among what is missing.
pub(super) fn tables(names: &Names, ip_sets: &IpSets, missing: &mut Vec<Missing>) -> Tables {
    let mut read = read(names, ip_sets);
    if matches!(read, Ok((_, Dump::Interrupted))) {
        read = self::read(names, ip_sets);
    }
    match read {
        Ok((tables, Dump::Whole)) => tables,
        Ok((tables, Dump::Interrupted)) => {
            missing.push(changing(NFTABLES_RULES));
            tables
        }
        // The kernel has no nf_tables, so there are no rules of it (`nfnetlink_rcv_msg`, and no such protocol at all).
        Err(error) if matches!(error.errno(), Some(Errno::INVALID | NO_PROTOCOL)) => Tables::default(),
        Err(error) => {
            missing.push(absent(NFTABLES_RULES, &error));
            Tables::default()
        }
    }
}

/// `EPROTONOSUPPORT`.
const NO_PROTOCOL: Errno = Errno(93);

/// Where a table's chains go.
#[derive(Debug)]
struct Known {
    index: TableIndex,
    dormant: bool,
    /// Chains are named as those of iptables are.
    of_iptables: bool,
}

type KnownTables = HashMap<(u8, String), Known>;

fn read(names: &Names, ip_sets: &IpSets) -> Result<(Tables, Dump), NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Netfilter)?;
    let before = generation(&mut netlink)?;
    let mut tables = Tables::default();
    let mut known = KnownTables::new();
    let mut dumps = Vec::new();
    dumps.push(netlink.dump(NFT_MSG_GETTABLE, &[0; NFGENMSG], &mut |_, content| {
        // Families that are not known here have tables that are not, either.
        let _ = take_table(content, &mut tables, &mut known);
    })?);
    dumps.push(netlink.dump(NFT_MSG_GETCHAIN, &[0; NFGENMSG], &mut |_, content| {
        let _ = take_chain(content, &mut tables, &mut known);
    })?);
    if known.is_empty() {
        return Ok((tables, Dump::Whole));
    }
    let mut reader = RuleReader {
        names,
        ip_sets,
        sets: Sets::read()?,
    };
    dumps.push(netlink.dump(NFT_MSG_GETRULE, &[0; NFGENMSG], &mut |_, content| {
        let _ = take_rules(content, &mut tables, &known, &mut reader);
    })?);
    let same = generation(&mut netlink)? == before;
    let whole = same && dumps.iter().all(|dump| *dump == Dump::Whole);
    Ok((tables, if whole { Dump::Whole } else { Dump::Interrupted }))
}

/// The number that grows with each change of any rule.
fn generation(netlink: &mut Netlink) -> Result<u32, NetlinkError> {
    let mut generation = 0;
    netlink.ask(NFT_MSG_GETGEN, &[0; NFGENMSG], &mut |_, content| {
        let id = Attributes::after(NFGENMSG, content).find(NFTA_GEN_ID);
        generation = id.and_then(|id| id.u32_be()).unwrap_or(generation);
    })?;
    Ok(generation)
}

/// `NFPROTO_*`.
fn family(number: u8) -> Option<TableFamily> {
    Some(match number {
        1 => TableFamily::Inet,
        2 => TableFamily::Ip,
        3 => TableFamily::Arp,
        5 => TableFamily::Netdev,
        7 => TableFamily::Bridge,
        10 => TableFamily::Ip6,
        _ => return None,
    })
}

fn take_table(content: &[u8], tables: &mut Tables, known: &mut KnownTables) -> Option<()> {
    const DORMANT: u32 = 1;
    let number = *content.first()?;
    let attributes = Attributes::after(NFGENMSG, content);
    let name = attributes.find(NFTA_TABLE_NAME)?.text();
    let flags = attributes
        .find(NFTA_TABLE_FLAGS)
        .and_then(|flags| flags.u32_be())
        .unwrap_or(0);
    let index = tables.table(Backend::Nft, family(number)?, &name);
    known.insert(
        (number, name),
        Known {
            index,
            dormant: flags & DORMANT != 0,
            of_iptables: false,
        },
    );
    Some(())
}

fn take_chain(content: &[u8], tables: &mut Tables, known: &mut KnownTables) -> Option<()> {
    let number = *content.first()?;
    let attributes = Attributes::after(NFGENMSG, content);
    let table = known.get_mut(&(number, attributes.find(NFTA_CHAIN_TABLE)?.text()))?;
    let name = attributes.find(NFTA_CHAIN_NAME)?.text();
    let base = base(&attributes, number).filter(|_| !table.dormant);
    table.of_iptables |= base.is_some()
        && matches!(
            name.as_str(),
            "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING"
        );
    tables.chain(table.index, &name, base);
    Some(())
}

fn base(attributes: &Attributes<'_>, family: u8) -> Option<Base> {
    const NFPROTO_NETDEV: u8 = 5;
    const NF_DROP: u32 = 0;
    let hook = attributes.find(NFTA_CHAIN_HOOK)?.nested();
    let number = hook.find(NFTA_HOOK_HOOKNUM)?.u32_be()?;
    let hook_kind = match (number, family == NFPROTO_NETDEV) {
        (0, true) | (5, false) => Hook::Ingress,
        (1, true) => Hook::Egress,
        (0, false) => Hook::Prerouting,
        (1, false) => Hook::Input,
        (2, _) => Hook::Forward,
        (3, _) => Hook::Output,
        (4, _) => Hook::Postrouting,
        _ => return None,
    };
    // A single one is told twice.
    let links = match hook.find(NFTA_HOOK_DEVS) {
        Some(several) => several.nested().map(|name| name.text()).collect(),
        None => hook
            .find(NFTA_HOOK_DEV)
            .map(|name| name.text())
            .into_iter()
            .collect(),
    };
    let policy = attributes
        .find(NFTA_CHAIN_POLICY)
        .and_then(|policy| policy.u32_be());
    Some(Base {
        hook: hook_kind,
        priority: i32::from_be(i32_at(hook.find(NFTA_HOOK_PRIORITY)?.value, 0)?),
        accepts: policy != Some(NF_DROP),
        kind: attributes
            .find(NFTA_CHAIN_TYPE)
            .map(|kind| kind.text())
            .unwrap_or_default(),
        links,
    })
}

fn take_rules(
    content: &[u8],
    tables: &mut Tables,
    known: &KnownTables,
    reader: &mut RuleReader<'_>,
) -> Option<()> {
    let number = *content.first()?;
    let attributes = Attributes::after(NFGENMSG, content);
    let name = attributes.find(NFTA_RULE_TABLE)?.text();
    let chain = attributes.find(NFTA_RULE_CHAIN)?.text();
    let key = (number, name);
    let table = known.get(&key)?;
    for rule in reader.rules(number, &key.1, table.of_iptables, &attributes) {
        tables.rule(table.index, &chain, rule);
    }
    Some(())
}

/// Reads rules that no kernel has, without sets.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct RuleFuzz {
    names: Names,
    ip_sets: IpSets,
}

#[cfg(test)]
impl RuleFuzz {
    pub(super) fn rules(&self, family: u8, attributes: &[u8]) -> Vec<mesh_proto::Rule> {
        let sets = Sets::read().unwrap();
        let mut reader = RuleReader {
            names: &self.names,
            ip_sets: &self.ip_sets,
            sets,
        };
        reader.rules(family, "t", false, &Attributes::new(attributes))
    }
}

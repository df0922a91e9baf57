//! What a machine's packet filter would do with a packet, read from its rules: a walk through the chains of a hook as the
//! kernel makes it (`net/netfilter/core.c`, `nf_tables_core.c`, `ip_tables.c`), with a third answer beside yes and no
//! wherever a rule tests what is not known here.

mod packet;
mod removal;
mod translations;

use mesh_proto::{Action, Backend, Chain, Hook, Netfilter, Rule, Table, TableFamily};

use self::packet::{Holds, holds};
pub(crate) use self::packet::{IpProtocol, Packet};
pub(crate) use self::translations::{met, translations};

/// What stops a packet, or does something else with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop<'a> {
    pub(crate) table: &'a Table,
    pub(crate) chain: &'a Chain,
    /// The rule, with its place in the chain; `None` for the chain's policy.
    pub(crate) rule: Option<(usize, &'a Rule)>,
    /// Nothing that is not known here could let it pass before, and the rule is sure to meet it.
    pub(crate) sure: bool,
}

/// The first thing that stops a packet at a hook, sure ones before those that only may.
pub(crate) fn stop<'a>(filter: &'a Netfilter, hook: Hook, packet: &Packet<'_>) -> Option<Stop<'a>> {
    let mut bases: Vec<(i32, &Table, &Chain)> = Vec::new();
    for table in filter.tables.iter().filter(|table| sees(table.family, packet)) {
        for chain in &table.chains {
            if let Some(base) = chain.base.as_ref().filter(|base| base.hook == hook) {
                bases.push((base.priority, table, chain));
            }
        }
    }
    bases.sort_by_key(|(priority, ..)| *priority);
    let mut doubtful = None;
    for (_, table, chain) in bases {
        let mut walk = Walk {
            table,
            packet,
            in_doubt: false,
            marked: false,
            doubtful: None,
            depth: 0,
        };
        let end = walk.chain(chain, Holds::Yes);
        let accepts = chain.base.as_ref().is_none_or(|base| base.accepts);
        let stopped = match end {
            End::Stopped(stop) => Some(stop),
            End::Fell if !accepts => Some(Stop {
                table,
                chain,
                rule: None,
                sure: !walk.in_doubt,
            }),
            End::Fell | End::Accepted => None,
        };
        let doubted = walk.doubtful;
        match stopped {
            Some(stop) if stop.sure => return Some(stop),
            other => doubtful = doubtful.or(doubted).or(other),
        }
    }
    doubtful
}

fn sees(family: TableFamily, packet: &Packet<'_>) -> bool {
    match family {
        TableFamily::Ip => packet.destination.is_ipv4(),
        TableFamily::Ip6 => packet.destination.is_ipv6(),
        TableFamily::Inet => true,
        TableFamily::Arp | TableFamily::Bridge | TableFamily::Netdev => false,
    }
}

/// How a walk through a chain ended.
enum End<'a> {
    /// Nothing decided.
    Fell,
    Accepted,
    Stopped(Stop<'a>),
}

struct Walk<'a, 'p> {
    table: &'a Table,
    packet: &'p Packet<'p>,
    /// Something before may have accepted the packet.
    in_doubt: bool,
    /// Something before may have set a mark.
    marked: bool,
    /// The first rule that may stop it.
    doubtful: Option<Stop<'a>>,
    depth: u32,
}

/// The kernel's own bound (`NFT_JUMP_STACK_SIZE`). It refuses loops; a document may have one all the same.
const MOST_JUMPS: u32 = 16;

impl<'a> Walk<'a, '_> {
    /// Walks a chain that the packet comes to surely or perhaps.
    fn chain(&mut self, chain: &'a Chain, comes: Holds) -> End<'a> {
        for (place, rule) in chain.rules.iter().enumerate() {
            let meets = holds(rule, self.packet, self.marked).and(comes);
            if meets == Holds::No {
                continue;
            }
            let sure = meets == Holds::Yes && !self.in_doubt;
            match &rule.action {
                Action::Drop | Action::Reject { .. } | Action::Reset => {
                    let stop = Stop {
                        table: self.table,
                        chain,
                        rule: Some((place, rule)),
                        sure,
                    };
                    if meets == Holds::Yes {
                        return End::Stopped(stop);
                    }
                    self.doubtful.get_or_insert(stop);
                }
                // A translation ends the walk through its chain, as if it accepted.
                Action::Accept | Action::DestinationNat { .. } | Action::SourceNat { .. } => {
                    if meets == Holds::Yes {
                        return End::Accepted;
                    }
                    self.in_doubt = true;
                }
                Action::Jump(name) | Action::Goto(name) => {
                    let to = self.table.chains.iter().find(|chain| chain.name == *name);
                    let Some(to) = to.filter(|_| self.depth < MOST_JUMPS) else {
                        self.in_doubt = true;
                        continue;
                    };
                    self.depth += 1;
                    let end = self.chain(to, meets);
                    self.depth -= 1;
                    match end {
                        End::Fell if matches!(rule.action, Action::Goto(_)) && meets == Holds::Yes => {
                            return End::Fell;
                        }
                        End::Fell => {}
                        end if meets == Holds::Yes => return end,
                        End::Accepted => self.in_doubt = true,
                        End::Stopped(stop) => {
                            self.doubtful.get_or_insert(Stop { sure: false, ..stop });
                        }
                    }
                }
                Action::Return => {
                    if meets == Holds::Yes {
                        return End::Fell;
                    }
                    // What comes after in this chain may not be reached.
                    self.in_doubt = true;
                }
                Action::SetMark => self.marked = true,
                Action::Other(_) => self.in_doubt = true,
                Action::Continue => {}
            }
        }
        End::Fell
    }
}

impl Stop<'_> {
    /// Where it stands and what it says, as an operator would look for it.
    pub(crate) fn words(&self) -> String {
        let family = self.table.family;
        let table = match self.table.backend {
            Backend::Nft => format!("table {family} {}", self.table.name),
            Backend::Legacy => format!("iptables-legacy table {} ({family})", self.table.name),
        };
        match self.rule {
            None => format!("{table}, chain {}: policy drop", self.chain.name),
            Some((place, rule)) => {
                let met = rule
                    .packets
                    .map(|packets| format!(" ({packets} packets)"))
                    .unwrap_or_default();
                format!(
                    "{table}, chain {}, rule {}: {}{met}",
                    self.chain.name,
                    place + 1,
                    rule.text
                )
            }
        }
    }

    /// Whether it is the same rule, or the policy of the same chain.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let place = |stop: &Self| stop.rule.map(|(place, _)| place);
        std::ptr::eq(self.chain, other.chain) && place(self) == place(other)
    }

    /// Whether it says so to the sender.
    pub(crate) fn rejects(&self) -> bool {
        self.rule
            .is_some_and(|(_, rule)| matches!(rule.action, Action::Reject { .. } | Action::Reset))
    }

    /// The name of the chain or table says that a policy engine wrote the rule.
    pub(crate) fn of_policy_engine(&self) -> bool {
        let names = [&self.chain.name, &self.table.name].map(|name| name.to_ascii_lowercase());
        names
            .iter()
            .any(|name| POLICY_ENGINES.iter().any(|of| name.contains(of)))
    }
}

/// What the names of chains and tables of policy engines have in them: Calico, kube-router, Weave, Antrea, and others that say
/// it in full.
const POLICY_ENGINES: [&str; 8] = [
    "cali-",
    "calico",
    "nwplcy",
    "kube-pod-fw",
    "weave-npc",
    "network-polic",
    "networkpolic",
    "antrea-pol",
];

#[cfg(test)]
mod tests;

//! What operators may do: rights, which `[[oper_class]]` of the configuration groups.

/// A row of the table: a right, its name in the configuration, and what it allows.
pub struct Row {
    /// The right.
    pub right: Right,
    /// Its name in the configuration and in 723.
    pub name: &'static str,
    /// What it allows.
    pub help: &'static str,
}

macro_rules! rights {
    ($($right:ident $name:literal $help:literal;)+) => {
        /// Something that an operator may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Right {
            $(#[doc = $help] $right,)+
        }

        /// All rights, by name.
        pub const RIGHTS: &[Row] = &[$(Row { right: Right::$right, name: $name, help: $help }),+];
    };
}

rights! {
    Ban "ban" "UBAN, KLINE, UNKLINE, DLINE, UNDLINE, NickServ LIST and SUSPEND, ChanServ AMODE (to list it), DROP, LIST, PURGE and TRANSFER: keep people off the server.";
    Defcon "defcon" "DEFCON: close the server to new people, step by step.";
    Die "die" "DIE and RESTART.";
    Force "force" "SAJOIN, SAPART, SANICK, SAMODE, ChanServ SET, NickServ SA2FA, SADROP, SAGET, SAPASSWD, SAREGISTER, SASET, SAVERIFY, UNREGISTER and ERASE: act for others.";
    Global "global" "GLOBAL: write to everyone.";
    History "history" "HistServ DELETE, EXPORT and FORGET: see to what is kept of others.";
    Kill "kill" "KILL: end someone's connection.";
    Notices "notices" "User mode s: be told what happens on the server.";
    Rehash "rehash" "REHASH: read the configuration again.";
    Stats "stats" "STATS and TRACE, all of it.";
    Vhost "vhost" "CHGHOST, SETHOST and HostServ: change a displayed host, and give hosts to accounts.";
    Wallops "wallops" "WALLOPS: write to everyone with user mode w.";
}

impl Right {
    /// The right of this name.
    pub fn by_name(name: &str) -> Option<Right> {
        RIGHTS.iter().find(|row| row.name == name).map(|row| row.right)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        RIGHTS.iter().find(|row| row.right == self).map_or("", |row| row.name)
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    /// Every right.
    pub const ALL: Rights = Rights(u32::MAX);

    /// The rights with these names; what is no name is passed over.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Rights {
        Rights(names.into_iter().filter_map(Right::by_name).fold(0, |bits, right| bits | 1 << right as u32))
    }

    /// Whether a right is in the set.
    pub fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{RIGHTS, Right, Rights};
    use crate::server::command::{COMMANDS, When};
    use crate::server::notice::SNOMASKS;

    #[test]
    fn every_right_notice_and_command_is_documented() {
        let text = include_str!("../../conf/OPERATORS.md");
        let has = |row: &str| assert!(text.contains(row), "conf/OPERATORS.md has no row {row}");
        for row in RIGHTS {
            has(&format!("| `{}` | {} |", row.name, row.help));
        }
        for row in SNOMASKS {
            has(&format!("| `{}` | {} |", row.letter, row.help));
        }
        for command in COMMANDS {
            if let When::Operator(right) = command.when {
                let usage = format!("{} {}", command.name, command.syntax);
                let usage = usage.trim_end().replace('|', "\\|");
                has(&format!("| `{usage}` | `{}` | {} |", right.name(), command.help));
            }
        }
    }

    #[test]
    fn a_set_has_what_it_was_made_of_and_nothing_else() {
        let rights = Rights::named(["kill", "ban", "nosuch"]);
        for row in RIGHTS {
            assert_eq!(rights.has(row.right), ["kill", "ban"].contains(&row.name), "{}", row.name);
            assert!(Rights::ALL.has(row.right) && !Rights::default().has(row.right));
            assert_eq!(Right::by_name(row.name).map(Right::name), Some(row.name));
        }
    }
}

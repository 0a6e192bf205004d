// A client on KiwiIRC's `irc-framework`. What it is to do comes on stdin, what happens goes to stdout; see library.rs.

const readline = require('readline');
const IRC = require(require.resolve('irc-framework', { paths: [process.env.NODE_PATH || '.'] }));

const [host, port, nick, password, channel] = process.argv.slice(2);

function tell(...words) {
    console.log(JSON.stringify(words));
}

const client = new IRC.Client();
client.requestCap(['draft/chathistory', 'batch', 'message-tags', 'server-time', 'echo-message']);
client.on('registered', (event) => {
    tell('registered', event.nick);
    client.join(channel);
});
client.on('join', (event) => tell('joined', event.nick, event.channel));
client.on('message', (event) => {
    if (event.type === 'privmsg' && event.nick !== nick) {
        tell(event.batch ? 'history' : 'heard', event.nick, event.message);
    } else if (event.type === 'privmsg') {
        tell(event.batch ? 'history' : 'echoed', event.nick, event.message);
    }
});
client.on('batch start chathistory', (event) => tell('batch', '+' + event.id, event.type, ...event.params));
client.on('batch end chathistory', (event) => tell('batch', '-' + event.id));
client.on('close', () => {
    tell('closed');
    process.exit(0);
});
client.connect({
    host,
    port: Number(port),
    nick,
    username: nick,
    gecos: nick,
    account: { account: nick, password },
    auto_reconnect: false,
});

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const at = line.indexOf(' ');
    const [word, rest] = [line.slice(0, at), line.slice(at + 1)];
    if (word === 'say') {
        client.say(channel, rest);
    } else if (word === 'raw') {
        client.raw(rest);
    }
});

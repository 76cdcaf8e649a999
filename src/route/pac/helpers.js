// The helpers that are about texts alone. They are JavaScript because scripts lean on what
// JavaScript makes of odd arguments, and because the engine bounds their time and memory.

// Of a shell's pattern only . * and ? are taken care of; the rest is the regular expression that it
// is in browsers: scripts have [0-9] and a|b in them.
function shExpMatch(text, pattern) {
  var expression = String(pattern).replace(/[.*?]/g, function (sign) {
    return sign === '.' ? '\\.' : sign === '*' ? '.*' : '.';
  });
  return new RegExp('^' + expression + '$').test(text);
}

// Four bytes as a number, signed as JavaScript's bit operators have it. What is missing or no
// number is zero.
function convert_addr(address) {
  var bytes = String(address).split('.'), number = 0;
  for (var i = 0; i < 4; i++)
    number = number << 8 | bytes[i] & 255;
  return number;
}

function isInNet(host, network, mask) {
  var parts = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.(\d{1,4})$/.exec(host);
  if (parts && parts.slice(1).some(function (part) { return part > 255; }))
    return false;
  var address = parts ? host : dnsResolve(host), bits = convert_addr(mask);
  return address !== null && (convert_addr(address) & bits) === (convert_addr(network) & bits);
}

// That of Microsoft's interface.
function getClientVersion() {
  return '1.0';
}

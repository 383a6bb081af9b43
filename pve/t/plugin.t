# Each hook of NautobotPlugin.pm against a scripted server: the single request it makes, what it
# returns, and its error message if the response is an error or invalid.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use IO::Socket::SSL::Utils qw(CERT_create);
use JSON;
use Test::More;

use PVEStandIn;
use ScriptedServer;
require "$Bin/../NautobotPlugin.pm";

delete $ENV{$_} for qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY);
$PVEStandIn::cluster = 'pve cluster';

my $plugin = 'PVE::Network::SDN::Ipams::NautobotPlugin';
my $api = '/api/plugins/pve-ipam/namespaces/lab%2F1%20x';
my $mac = 'BC:24:11:00:00:01';

my $subnet = {
    id => 'simple1-10.0.0.0-24',
    cidr => '10.0.0.0/24',
    network => '10.0.0.0',
    mask => 24,
    zone => 'simple1',
    vnet => 'vnet0',
    gateway => '10.0.0.1',
    snat => 1,
    dnszoneprefix => 'adm',
    'dhcp-range' => [
        'start-address=10.0.0.100,end-address=10.0.0.109',
        'start-address=10.0.0.200,end-address=10.0.0.209',
    ],
};
my $parsed_ranges = [
    { 'start-address' => '10.0.0.100', 'end-address' => '10.0.0.109' },
    { 'start-address' => '10.0.0.200', 'end-address' => '10.0.0.209' },
];
my $bare6 = { cidr => '2001:db8::/64', zone => 'simple1', vnet => 'vnet0' };
my $range = $parsed_ranges->[0];
my $last_range = $parsed_ranges->[1];

my $made = { address => '10.0.0.100/24', ip_version => 4 };
my $made6 = { address => '2001:db8::100/64', ip_version => 6 };
my $subnet_made = { prefix => '10.0.0.0/24' };
my @origin = (zone => 'simple1', cluster => 'pve cluster');
my $facts = {
    @origin,
    vnet => 'vnet0',
    gateway => '10.0.0.1',
    snat => JSON::true,
    dns_zone_prefix => 'adm',
    dhcp_ranges => [
        { start => '10.0.0.100', end => '10.0.0.109' },
        { start => '10.0.0.200', end => '10.0.0.209' },
    ],
};
my $nothing_known = {
    @origin,
    vnet => 'vnet0',
    gateway => undef,
    snat => JSON::false,
    dns_zone_prefix => undef,
    dhcp_ranges => [],
};

# arguments of every hook as PVE passes them; $noerr would come last
my $call = {
    add_subnet => ['simple1-10.0.0.0-24', $subnet],
    update_subnet =>
        ['simple1-10.0.0.0-24', $subnet, { %$subnet, 'dhcp-range' => $parsed_ranges }],
    del_subnet => ['simple1-10.0.0.0-24', $subnet],
    add_ip => ['simple1-10.0.0.0-24', $subnet, '10.0.0.7', 'web', $mac, '100', undef],
    update_ip => ['simple1-10.0.0.0-24', $subnet, '10.0.0.7', 'web', $mac, '100', undef],
    add_next_freeip => ['simple1-10.0.0.0-24', $subnet, 'web', $mac, '100'],
    add_range_next_freeip =>
        [$subnet, $last_range, { mac => $mac, hostname => 'web', vmid => '100' }],
    del_ip => ['simple1-10.0.0.0-24', $subnet, '10.0.0.7'],
    get_ips_from_mac => [$mac, 'simple1'],
    verify_api => [],
    on_update_hook => [],
};

# Runs one hook against one scripted response: (returned list, error, request)
sub run {
    my ($answer, $hook, @args) = @_;

    $PVEStandIn::requests = 0;
    my ($result, $error, @requests) = ScriptedServer::serve(
        [$answer],
        sub {
            my ($url) = @_;
            my $config = { url => "$url/api/", token => 'secret', namespace => 'lab/1 x' };
            return $plugin->$hook($config, @args);
        },
    );
    is($PVEStandIn::requests, 1, "$hook: one request");
    return ($result, $error, $requests[0]);
}

sub asks {
    my ($name, $answer, $method, $path, $body, $hook, @args) = @_;

    my ($result, $error, $request) = run($answer, $hook, @args);
    is($error, '', "$name: no error");
    is("$request->{method} $request->{path}", "$method $api/$path", "$name: method and path");
    is_deeply($request->{body}, $body, "$name: body");
    is($request->{headers}->{authorization}, 'Token secret', "$name: token");
    return ($result, $request);
}

my @guest = (hostname => 'web', mac => $mac, vmid => 100);
my @nobody = (hostname => undef, mac => undef, vmid => undef);
my $ok = sub { ScriptedServer::answer('200 OK', $_[0]) };
my $created = sub { ScriptedServer::answer('201 Created', $_[0]) };
my $gone = ScriptedServer::answer('204 No Content');
my $from = 'cluster=pve%20cluster&zone=simple1';

subtest 'subnets' => sub {
    my @subnet = ('subnets/10.0.0.0-24/', $facts);
    asks(
        'new', $created->($subnet_made), 'PUT', @subnet, 'add_subnet',
        $call->{add_subnet}->@*
    );
    asks(
        'changed',
        $ok->($subnet_made),
        'PUT', @subnet,
        'update_subnet', $call->{update_subnet}->@*,
    );
    asks(
        'ranges already parsed',
        $ok->($subnet_made),
        'PUT', @subnet,
        'update_subnet', 'id', { %$subnet, 'dhcp-range' => $parsed_ranges }, $subnet,
    );
    asks(
        'IPv6, everything unset',
        $created->({ prefix => '2001:db8::/64' }),
        'PUT', 'subnets/2001:db8::-64/', $nothing_known,
        'add_subnet', 'simple1-2001:db8::-64', $bare6,
    );
    asks(
        'deleted',
        $gone,
        'DELETE', 'subnets/10.0.0.0-24/?cluster=pve%20cluster&zone=simple1', undef,
        'del_subnet', $call->{del_subnet}->@*,
    );
};

subtest 'zone and VNet' => sub {
    my $says = sub {
        my ($zone, $vnet) = @_;
        local $PVEStandIn::sdn = { zones => { simple1 => $zone }, vnets => { vnet0 => $vnet } };
        my (undef, $error, $request) =
            run($created->($subnet_made), 'add_subnet', $call->{add_subnet}->@*);
        is($error, '', 'no error');
        my $body = $request->{body};
        my %more = map { $_ => $body->{$_} } grep { !exists($facts->{$_}) } keys %$body;
        return (\%more, $request->{raw});
    };

    my ($more, $raw) = $says->(
        { type => 'simple', dhcp => 'dnsmasq', ipam => 'nautobot' },
        { type => 'vnet', zone => 'simple1', alias => 'DMZ (old)', tag => '16777215' },
    );
    is_deeply(
        $more,
        {
            zone_type => 'simple',
            zone_dhcp => 'dnsmasq',
            vnet_alias => 'DMZ (old)',
            vnet_tag => 16777215,
        },
        'everything',
    );
    like($raw, qr/"vnet_tag":16777215[,}]/, 'the tag is a JSON number');

    ($more) = $says->({ type => 'evpn' }, { type => 'vnet' });
    is_deeply(
        $more,
        { zone_type => 'evpn', zone_dhcp => undef, vnet_alias => undef, vnet_tag => undef },
        'null for what is not set',
    );

    ($more) = $says->({ type => 'faucet' }, undef);
    is_deeply($more, { zone_dhcp => undef }, 'nothing that Nautobot or PVE does not know');

    for my $alias ("B\xc3\xbcro", "B\xfcro", "B\x{fc}ro \x{20ac}") {
        ($more) = $says->({ type => 'simple' }, { alias => $alias });
        like($more->{vnet_alias}, qr/^B\x{fc}ro( \x{20ac})?$/, 'an alias in any encoding');
    }
    ($more) = $says->({ type => 'simple' }, { alias => "\xc3\xbc" x 256 });
    is($more->{vnet_alias}, "\x{fc}" x 255, 'as long as Nautobot allows');
};

subtest 'addresses' => sub {
    my $guest = { @guest, @origin, gateway => JSON::false };
    my (undef, $request) = asks(
        'taken', $created->($made), 'PUT', 'ips/10.0.0.7/', $guest, 'add_ip',
        $call->{add_ip}->@*,
    );
    like($request->{raw}, qr/"vmid":100[,}]/, 'the vmid is a JSON number');

    my $gateway = { @nobody, @origin, gateway => JSON::true };
    asks(
        'gateway of IPv6',
        $created->($made6),
        'PUT', 'ips/2001:db8::1/', { %$gateway, hostname => 'vnet0-gw' },
        'add_ip', 'id', $bare6, '2001:db8::1', 'vnet0-gw', undef, undef, 1,
    );
    asks(
        'changed',
        $ok->($made),
        'PATCH', 'ips/10.0.0.7/', { @guest, @origin },
        'update_ip', $call->{update_ip}->@*,
    );
    my ($result) = asks(
        'released', $gone, 'DELETE', "ips/10.0.0.7/?$from", undef, 'del_ip',
        $call->{del_ip}->@*,
    );
    is_deeply($result, [1], 'released: true');
};

subtest 'free addresses' => sub {
    my $path = 'subnets/10.0.0.0-24/next-free-ip/';
    my ($result) = asks(
        'of a subnet',
        $created->($made),
        'POST', $path, { @guest, @origin },
        'add_next_freeip', $call->{add_next_freeip}->@*,
    );
    is_deeply($result, ['10.0.0.100'], 'without mask');

    ($result) = asks(
        'without guest, IPv6',
        $created->($made6),
        'POST', 'subnets/2001:db8::-64/next-free-ip/', { @nobody, @origin },
        'add_next_freeip', 'simple1-2001:db8::-64', $bare6, undef, undef, undef,
    );
    is_deeply($result, ['2001:db8::100'], 'IPv6 without mask');

    my $bounds = { range_start => '10.0.0.100', range_end => '10.0.0.109' };
    ($result) = asks(
        'of a range',
        $ok->($made),
        'POST', $path, { @guest, @origin, %$bounds },
        'add_range_next_freeip', $subnet, $range, {@guest},
    );
    is_deeply($result, ['10.0.0.100'], 'of a range, without mask');
};

# Runs an allocation that Nautobot refuses: (returned list, error, warnings)
sub refused {
    my ($status, $hook, @args) = @_;

    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, $_[0] };
    my ($result, $error) = run(ScriptedServer::answer($status, {}), $hook, @args);
    return ($result, $error, join('', @warnings));
}

# The search goes on if this status, whose reason phrase a proxy may have changed, is the answer.
sub goes_on {
    my ($name, $hook, @args) = @_;

    for my $status ('409 No free address in 10.0.0.0/24', '409 Conflict', '409 ') {
        my ($result, $error, $warning) = refused($status, $hook, @args);
        is($error, '', "$name: no error");
        is_deeply($result, [undef], "$name: undef, so PVE goes on");
        like($warning, qr/^could not get a free address in .*: $status.*\n$/, "$name: warning");
    }
}

sub ends {
    my ($name, $hook, @args) = @_;

    my $status = '409 No free address in 10.0.0.0/24';
    my ($result, $error, $warning) = refused($status, $hook, @args);
    like($error, qr/^could not get a free address in .*: $status\n$/, "$name: the sentence");
    is($warning, '', "$name: no warning");
}

subtest 'nothing is free' => sub {
    my $guest = { mac => $mac, hostname => 'web', vmid => '100' };
    my @any = ('add_next_freeip', $call->{add_next_freeip}->@*);
    my @first = ('add_range_next_freeip', $subnet, $range, $guest);
    my @last = ('add_range_next_freeip', $subnet, $last_range, $guest);

    goes_on('the first range', @first);
    ends('the last range', @last);
    ends('a subnet without ranges', @any);
    goes_on(
        'a range that the subnet does not have', 'add_range_next_freeip', $bare6, $range,
        $guest
    );

    my $on_vnet0 = { vnet => 'vnet0' };
    my $have = sub {
        $PVEStandIn::sdn = { subnets => { map { $_ => $on_vnet0 } @_ } };
    };
    local $PVEStandIn::sdn;
    for my $next ('simple1-10.0.1.0-24', 'simple1-10.0.0.0-25') {
        $have->('simple1-10.0.0.0-24', $next);
        goes_on("$next is left", @last);
        goes_on("$next is left", @any);
    }
    $have->('simple1-10.0.0.0-24', 'simple1-10.0.0.0-16', 'simple1-2001:db8::-64');
    ends('the last subnet of IPv4', @last);
    $PVEStandIn::sdn->{subnets}->{'simple1-10.0.1.0-24'} = { vnet => 'other' };
    ends('another VNet does not count', @last);

    my $subnet6 = { %$bare6, id => 'simple1-2001:db8::-64' };
    my @any6 = ('add_next_freeip', 'simple1-2001:db8::-64', $subnet6, 'web', $mac, '100');
    $have->('simple1-2001:db8::-64');
    ends('the last subnet of IPv6', @any6);
    $have->('simple1-2001:db8::-64', 'simple1-2001:dc8::-64');
    goes_on('one of IPv6 is left', @any6);
    $have->('simple1-2001:db8::-64', 'simple1-10.0.0.0-24');
    goes_on('PVE must give the IPv4 address back', @any6);

    for my $status ('403 No free address', '404 No', '500 No', '503 No') {
        my (undef, $error, $warning) = refused($status, @first);
        like($error, qr/: $status\n$/, 'another error ends the search at once');
    }
    for my $hook (\@first, \@last, \@any) {
        my ($result, $error, $warning) = refused('409 No free address', @$hook, 1);
        is_deeply([$result, $error, $warning], [[undef], '', ''], 'noerr: silence');
    }
};

subtest 'addresses of a MAC' => sub {
    my $path = "ips/?cluster=pve%20cluster&mac=BC%3A24%3A11%3A00%3A00%3A01&zone=simple1";
    my $known = { ip4 => '10.0.0.100', ip6 => '2001:db8::100', results => [$made, $made6] };
    my @hook = ('get_ips_from_mac', $call->{get_ips_from_mac}->@*);

    my ($result) = asks('known', $ok->($known), 'GET', $path, undef, @hook);
    is_deeply($result, ['10.0.0.100', '2001:db8::100'], 'both families');

    my $unknown = { ip4 => undef, ip6 => undef, results => [] };
    ($result) = asks('unknown', $ok->($unknown), 'GET', $path, undef, @hook);
    is_deeply($result, [undef, undef], 'undef for none');
};

subtest 'a standalone node' => sub {
    local $PVEStandIn::cluster = undef;
    asks(
        'deleted',
        $gone,
        'DELETE', 'subnets/10.0.0.0-24/?zone=simple1', undef,
        'del_subnet', $call->{del_subnet}->@*,
    );
    asks(
        'allocated',
        $created->($made),
        'POST', 'subnets/10.0.0.0-24/next-free-ip/',
        { @guest, zone => 'simple1', cluster => undef },
        'add_next_freeip', $call->{add_next_freeip}->@*,
    );
};

subtest 'saving the entry' => sub {
    my $fine = { ready => JSON::true, detail => 'Fine.', warning => undef };
    for my $hook (qw(verify_api on_update_hook)) {
        asks('ready', $ok->($fine), 'GET', '?cluster=pve%20cluster', undef, $hook);
        {
            local $PVEStandIn::cluster = undef;
            asks('ready', $ok->($fine), 'GET', '', undef, $hook);

            my $warning = '';
            local $SIG{__WARN__} = sub { $warning .= $_[0] };
            asks(
                'renamed', $ok->({ %$fine, warning => 'Was it renamed?' }),
                'GET', '', undef, $hook,
            );
            is($warning, "Was it renamed?\n", 'a warning is shown');
        }
        my $lacking =
            { ready => JSON::false, detail => 'The token may not ipam.add_ipaddress' };
        my (undef, $error) = run($ok->($lacking), $hook);
        like(
            $error, qr/namespace 'lab.*: The token may not ipam\.add_ipaddress\n$/,
            'not ready'
        );
        (undef, $error) = run(ScriptedServer::answer("404 Namespace 'lab' not found"), $hook);
        like($error, qr/: 404 Namespace 'lab' not found\n$/, 'no such namespace');
    }
};

# Failure, raw response, expected error message of every hook, whether only hooks that use the
# response body (all but deletions) notice.
my $html = '<html><body>Sign in</body></html>';
my @faults = (
    [
        'refused', ScriptedServer::answer('409 Address is taken', {}),
        qr/409 Address is taken\n$/
    ],
    ['bad gateway', ScriptedServer::answer('502 Bad Gateway', $html), qr/502 Bad Gateway\n$/],
    ['not allowed', ScriptedServer::answer('403 May not', {}), qr/403 May not\n$/],
    ['HTML', $ok->($html), qr/not JSON/],
    ['closed', '', qr/500 Server closed connection/],
    [
        'cut off', ScriptedServer::answer('200 OK', '{"address": "10.0', 900),
        qr/not JSON.*incomplete/
    ],
    ['empty', ScriptedServer::answer('200 OK', ''), qr/is empty/, 1],
    ['other JSON', $ok->([]), qr/not from Nautobot/, 1],
    ['other object', $ok->({ count => 0 }), qr/not from Nautobot/, 1],
);
my %without_answer = map { $_ => 1 } qw(del_subnet del_ip);
my %no_subnet = map { $_ => 1 } qw(get_ips_from_mac verify_api on_update_hook);

for my $hook (sort keys %$call) {
    subtest "$hook: error messages" => sub {
        for my $fault (@faults) {
            my ($name, $answer, $says, $only_with_answer) = @$fault;
            next if $only_with_answer && $without_answer{$hook};

            my ($result, $error) = run($answer, $hook, $call->{$hook}->@*);
            like($error, $says, "$name: message");
            like($error, qr/^could not [^\n]+\n$/, "$name: one line");
            like($error, qr!10\.0\.0\.0/24!, "$name: names the subnet") if !$no_subnet{$hook};
            unlike($error, qr/secret/, "$name: token not shown");

            next if $hook eq 'verify_api' || $hook eq 'on_update_hook';
            ($result, $error) = run($answer, $hook, $call->{$hook}->@*, 1);
            is($error, '', "$name: noerr");
            is((grep { defined($_) && $_ } @$result), 0, "$name: noerr returns nothing");
        }
    };
}

subtest 'no address in the response' => sub {
    for my $hook (qw(add_next_freeip add_range_next_freeip)) {
        for my $address (undef, '', '0', '10.0.0.100', 'none/24', {}) {
            my (undef, $error) = run($ok->({ address => $address }), $hook, $call->{$hook}->@*);
            like($error, qr!subnet 10\.0\.0\.0/24 .*has no valid address\n$!, "$hook dies");
        }
    }
};

subtest 'Nautobot is down' => sub {
    my $config = { url => 'http://127.0.0.1:1/api', token => 'secret', namespace => 'lab' };
    for my $hook (sort keys %$call) {
        $PVEStandIn::requests = 0;
        eval { $plugin->$hook($config, $call->{$hook}->@*) };
        like($@, qr/^could not .*: 500 Can't connect to 127\.0\.0\.1:1/, "$hook: message");
        is($PVEStandIn::requests, 1, "$hook does not retry");
    }
};

subtest 'no gateway to delete' => sub {
    $PVEStandIn::requests = 0;
    ok($plugin->del_ip({}, 'id', $subnet, undef), 'true');
    is($PVEStandIn::requests, 0, 'no request');
};

subtest 'fingerprint' => sub {
    my ($cert, $key) = CERT_create(subject => { commonName => 'nautobot' });
    my $fingerprint = Net::SSLeay::X509_get_fingerprint($cert, 'sha256');
    my $other = $fingerprint =~ tr/0-9A-F/1-9A-F0/r;
    for my $case (
        [$fingerprint, qr/^$/],
        [lc($fingerprint), qr/^$/],
        [$other, qr/^could not add subnet .*: 500 /],
        [undef, qr/^could not add subnet .*: 500 .*certificate/],
    ) {
        my ($pinned, $says) = @$case;
        my (undef, $error) = ScriptedServer::serve(
            [$created->($subnet_made)],
            sub {
                my ($url) = @_;
                my $config = {
                    url => "$url/api",
                    token => 't',
                    namespace => 'n',
                    fingerprint => $pinned,
                };
                return $plugin->add_subnet($config, $call->{add_subnet}->@*);
            },
            { SSL_cert => $cert, SSL_key => $key },
        );
        like($error, $says, $pinned // 'none');
    }
};

subtest 'nothing is repeated' => sub {
    my $elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /api/\r\n"
        . "Content-Length: 0\r\nConnection: close\r\n\r\n";
    my $busy = ScriptedServer::answer('503 Busy') =~ s/\r\n/\r\nRetry-After: 0\r\n/r;
    for
        my $hook (grep { !m/^(?:get_ips_from_mac|verify_api|on_update_hook)$/ } sort keys %$call) {
        for my $answer ('', $elsewhere, $busy) {
            my (undef, $error, @requests) = ScriptedServer::serve(
                [$answer, $gone],
                sub {
                    my ($url) = @_;
                    my $config = { url => "$url/api", token => 't', namespace => 'n' };
                    return $plugin->$hook($config, $call->{$hook}->@*);
                },
            );
            like($error, qr/^could not /, "$hook: fails");
            is(@requests, 1, "$hook: one request");
        }
    }
};

{

    package PVE::Network::SDN::Ipams::PhpIpamPlugin;
    our @ISA = qw(PVE::Network::SDN::Ipams::Plugin);
    sub type { return 'phpipam' }

    sub properties {
        return { url => { type => 'string' }, token => { type => 'string' } };
    }
    sub options { return { url => {}, token => {} } }
}

subtest 'registered alongside PVE\'s own plugins' => sub {
    my $base = 'PVE::Network::SDN::Ipams::Plugin';
    my $untouched = { $PVE::Network::SDN::Ipams::Plugin::shared->{propertyList}->%* };
    for my $others ([], ['PVE::Network::SDN::Ipams::PhpIpamPlugin']) {
        local $PVE::Network::SDN::Ipams::Plugin::shared =
            { propertyList => {%$untouched}, plugins => {} };
        $_->register() for @$others, $plugin;

        # called before init: PVE calls the plugins in no particular order
        is(
            !$plugin->properties()->{url}, !!@$others,
            'url is declared only if no other plugin does'
        );
        eval { $base->init() };
        is($@, '', 'no property is declared twice or missing');
        is($base->lookup('nautobot'), $plugin, 'found by its type');
        my $list = $base->private()->{propertyList};
        ok($list->{namespace}->{description}, 'namespace is described');
        is(!!$list->{url}->{description}, !@$others, "url is described if it is declared here");
    }
};

done_testing();

# The life cycle of subnets and guests as in PVE, through NautobotPlugin.pm, against a Nautobot with
# the App. NAUTOBOT_URL is its root URL, NAUTOBOT_TOKEN the token of a superuser. NAUTOBOT_NAMESPACE
# is a name prefix for the namespaces created here, PVE_CLUSTER the cluster's name (none if unset).
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use HTTP::Request;
use JSON;
use LWP::UserAgent;
use Test::More;

use PVEStandIn;
require "$Bin/../NautobotPlugin.pm";

for my $name (qw(NAUTOBOT_URL NAUTOBOT_TOKEN)) {
    BAIL_OUT("$name is not set: this test needs a Nautobot with the App") if !$ENV{$name};
}

my $plugin = 'PVE::Network::SDN::Ipams::NautobotPlugin';
my $stem = join('-', $ENV{NAUTOBOT_NAMESPACE} // 'pve', 'perl', time(), $$);

# Nautobot's own REST API: for what PVE cannot do, and to inspect the outcome.
sub nautobot {
    my ($method, $path, $data) = @_;

    my @headers = (
        'Authorization' => "Token $ENV{NAUTOBOT_TOKEN}",
        'Content-Type' => 'application/json',
        'Accept' => 'application/json',
    );
    my $url = $ENV{NAUTOBOT_URL} =~ s!/+$!!r . "/api/$path";
    my $request = HTTP::Request->new($method, $url, \@headers, $data ? encode_json($data) : undef);
    my $response = LWP::UserAgent->new(timeout => 60)->request($request);
    die "$method $path: " . $response->status_line . "\n" . $response->decoded_content
        if !$response->is_success;
    return length($response->content) ? decode_json($response->content) : undef;
}

my @namespaces;

# Creates a namespace, returns the configuration of an IPAM entry for it.
sub new_entry {
    my ($suffix) = @_;

    my $made = nautobot('POST', 'ipam/namespaces/', { name => "$stem-$suffix" });
    push @namespaces, $made->{id};
    return {
        type => 'nautobot',
        url => $ENV{NAUTOBOT_URL} =~ s!/*$!/api!r,
        token => $ENV{NAUTOBOT_TOKEN},
        namespace => $made->{name},
    };
}

# What Nautobot has in an entry's namespace, according to its core API.
sub holds {
    my ($entry) = @_;

    my %found;
    for my $kind (qw(prefixes ip-addresses ip-address-ranges)) {
        my $list = nautobot('GET', "ipam/$kind/?namespace=$entry->{namespace}&limit=1000");
        $found{$kind} = $list->{results};
    }
    return {
        prefixes => [sort map { $_->{prefix} } $found{prefixes}->@*],
        addresses => [sort map { $_->{address} } $found{'ip-addresses'}->@*],
        ranges => [
            sort map { "$_->{start_address}-$_->{end_address}" =~ s!/[0-9]+!!gr }
                $found{'ip-address-ranges'}->@*
        ],
    };
}

sub holds_exactly {
    my ($entry, $name, $prefixes, $addresses, $ranges) = @_;

    my $expected = {
        prefixes => [sort @$prefixes],
        addresses => [sort @$addresses],
        ranges => [sort @$ranges],
    };
    is_deeply(holds($entry), $expected, "Nautobot has: $name");
}

# Calls a hook, which must send one request and not die.
sub hook {
    my ($name, @args) = @_;

    $PVEStandIn::requests = 0;
    my @result = eval { $plugin->$name(@args) };
    is($@, '', "$name succeeds");
    is($PVEStandIn::requests, 1, "$name is one request");
    return wantarray ? @result : $result[0];
}

# Calls a hook that Nautobot must reject with a message like $says, then again with $noerr.
sub refuses {
    my ($says, $name, @args) = @_;

    $PVEStandIn::requests = 0;
    eval { $plugin->$name(@args) };
    like($@, $says, "$name is rejected");
    is($PVEStandIn::requests, 1, "$name is one request");
    eval { $plugin->$name(@args, 1) };
    is($@, '', "$name with noerr does not die");
}

# A subnet as PVE passes it to the hooks.
sub subnet {
    my ($cidr, %more) = @_;

    my ($network, $mask) = split(m!/!, $cidr);
    return {
        id => "simple1-$network-$mask",
        cidr => $cidr,
        network => $network,
        mask => $mask,
        zone => 'simple1',
        vnet => 'vnet0',
        %more,
    };
}

sub ranges {
    return [map { my ($s, $e) = split(/-/); "start-address=$s,end-address=$e" } @_];
}

sub parsed {
    my ($subnet) = @_;

    return { %$subnet, 'dhcp-range' => PVE::Network::SDN::Subnets::get_dhcp_ranges($subnet) };
}

sub mac { return sprintf('BC:24:11:00:00:%02X', $_[0]) }

# the plugin warns that a range is full
$SIG{__WARN__} = sub {
    warn $_[0] if $_[0] !~ m/^could not get a free address in .*: 409 No free address/;
};

# What PVE does for a new guest in a subnet with DHCP ranges: it tries one range after another until
# one has a free address.
sub start_guest {
    my ($entry, $subnet, $n) = @_;

    my $data = { mac => mac($n), hostname => "guest$n", vmid => 100 + $n };
    for my $range (PVE::Network::SDN::Subnets::get_dhcp_ranges($subnet)->@*) {
        my $ip = hook('add_range_next_freeip', $entry, $subnet, $range, $data);
        return $ip if $ip;
    }
    return undef;
}

sub register_gateway {
    my ($entry, $subnet) = @_;

    my @args = ($subnet->{gateway}, 'vnet0-gw', mac(255), undef, 1);
    hook('add_ip', $entry, $subnet->{id}, $subnet, @args);
}

# Address families: $at->('10') is the subnet's address that ends in 10.
my %family = (
    4 => { cidr => '10.20.0.0/24', at => sub {"10.20.0.$_[0]"}, length => 24 },
    6 => { cidr => '2001:db8:20::/64', at => sub {"2001:db8:20::$_[0]"}, length => 64 },
);

# The whole life cycle in one address family; the namespace may contain other objects.
sub life {
    my ($entry, $version) = @_;

    my ($cidr, $at, $length) = $family{$version}->@{qw(cidr at length)};
    my $held = sub {
        map { $at->($_) . "/$length" } @_;
    };
    my $span = sub {
        map {
            join('-', map { $at->($_) } split(/-/))
        } @_;
    };

    my $subnet = subnet(
        $cidr,
        gateway => $at->('1'),
        snat => 1,
        'dhcp-range' => ranges($span->('10-11', '20-21')),
    );
    my $id = $subnet->{id};
    local $PVEStandIn::sdn = {
        zones => { simple1 => { type => 'simple', dhcp => 'dnsmasq' } },
        vnets => { vnet0 => { zone => 'simple1', alias => "B\xfcro", tag => '20' } },
        subnets => { $id => $subnet },
    };

    for my $time ('created', 'created again, as after a timeout') {
        hook('add_subnet', $entry, $id, $subnet);
        register_gateway($entry, $subnet);
        holds_exactly($entry, $time, [$cidr], [$held->('1')], [$span->('10-11', '20-21')]);
    }
    my $of = "?namespace=$entry->{namespace}";
    my $zone = nautobot('GET', "plugins/pve-ipam/zones/$of")->{results}->[0];
    is_deeply([$zone->@{qw(type dhcp)}], ['simple', 'dnsmasq'], 'what PVE knows about the zone');
    my $vnet = nautobot('GET', "plugins/pve-ipam/vnets/?zone=$zone->{id}")->{results}->[0];
    is_deeply([$vnet->@{qw(alias tag)}], ["B\x{fc}ro", 20], 'what PVE knows about the VNet');

    is_deeply(
        [hook('get_ips_from_mac', $entry, mac(1), 'simple1')],
        [undef, undef],
        'a new guest has no address',
    );
    is(start_guest($entry, $subnet, 1), $at->('10'), 'first guest');
    is(start_guest($entry, $subnet, 1), $at->('10'), 'same MAC, same address');
    is(start_guest($entry, $subnet, 2), $at->('11'), 'second guest fills the first range');
    is(start_guest($entry, $subnet, 3), $at->('20'), 'third guest is in the second range');
    is(start_guest($entry, $subnet, 4), $at->('21'), 'fourth guest fills it');
    my $fifth = { mac => mac(5), hostname => 'guest5', vmid => 105 };
    my ($first, $second) = PVE::Network::SDN::Subnets::get_dhcp_ranges($subnet)->@*;
    is(
        hook('add_range_next_freeip', $entry, $subnet, $first, $fifth),
        undef, 'the first range has no address for the fifth',
    );
    my $sentence = join('-', $span->('20-21')) . ' of subnet ' . $cidr;
    refuses(
        qr!^could not get a free address in \Q$sentence\E from Nautobot: 409 No free address!,
        'add_range_next_freeip', $entry, $subnet, $second, $fifth,
    );

    my @explicit = ($id, $subnet, $at->('50'));
    hook('add_ip', $entry, @explicit, 'guest6', mac(6), 106, undef);
    my @thief = (@explicit, 'guest7', mac(7), 107, undef);
    refuses(qr!^could not add address .* of subnet \Q$cidr\E .*: 409 !, 'add_ip', $entry, @thief);
    hook('update_ip', $entry, @explicit, 'renamed', mac(8), 106, undef);
    my @by_family = hook('get_ips_from_mac', $entry, mac(8), 'simple1');
    is($by_family[$version == 4 ? 0 : 1], $at->('50'), 'found by the new MAC');
    my $mac = mac(8);
    my $known = nautobot(
        'GET',
        "plugins/pve-ipam/namespaces/$entry->{namespace}/ips/?mac=$mac",
    )->{results}->[0];
    is_deeply([$known->@{qw(hostname vmid)}], ['renamed', 106], 'new name and vmid');

    my $guests = [qw(10 11 20 21 50)];
    my $new_gateway = $version == 6 ? 'fe' : '254';
    my $moved = { %$subnet, gateway => $at->($new_gateway) };
    hook('update_subnet', $entry, $id, $moved, parsed($subnet));
    register_gateway($entry, $moved);
    hook('del_ip', $entry, $id, $subnet, $subnet->{gateway});
    holds_exactly(
        $entry, 'the new gateway',
        [$cidr], [$held->($new_gateway, @$guests)], [$span->('10-11', '20-21')],
    );

    my $other_ranges = { %$moved, 'dhcp-range' => ranges($span->('20-21', '30-39')) };
    hook('update_subnet', $entry, $id, $other_ranges, parsed($moved));
    is(start_guest($entry, $other_ranges, 5), $at->('30'), 'the fifth guest is in the new range');
    push @$guests, '30';
    holds_exactly(
        $entry, 'the new ranges',
        [$cidr], [$held->($new_gateway, @$guests)], [$span->('20-21', '30-39')],
    );

    my @deletion = ('del_subnet', $entry, $id, $other_ranges);
    refuses(qr!^could not delete subnet \Q$cidr\E from Nautobot: 409 !, @deletion);
    for my $n (1 .. 5, 8) {
        my $ip = (hook('get_ips_from_mac', $entry, mac($n), 'simple1'))[$version == 4 ? 0 : 1];
        ok($ip, "guest $n is found by its MAC") or next;
        ok(hook('del_ip', $entry, $id, $other_ranges, $ip), "guest $n is deleted") for 1 .. 2;
    }
    holds_exactly(
        $entry, 'no guest', [$cidr], [$held->($new_gateway)],
        [$span->('20-21', '30-39')]
    );

    my $plain = { %$moved, 'dhcp-range' => undef };
    hook('update_subnet', $entry, $id, $plain, parsed($other_ranges));
    my $ip = hook('add_next_freeip', $entry, $id, $plain, 'guest9', mac(9), 109);
    is($ip, $at->('1'), 'without ranges, the first free host address');
    holds_exactly($entry, 'no range', [$cidr], [$held->($new_gateway, '1')], []);
    hook('del_ip', $entry, $id, $plain, $ip);

    for my $time ('deleted', 'deleted again') {
        hook('del_subnet', $entry, $id, $plain);
        holds_exactly($entry, $time, [], [], []);
    }
}

my $entry = new_entry('a');
my $neighbour = new_entry('b');

subtest 'saving the entry' => sub {
    hook('on_update_hook', $_) for $entry, $neighbour;
    eval { $plugin->on_update_hook({ %$entry, namespace => "$stem-none" }) };
    like($@, qr/^could not use namespace '$stem-none' .*: 404 /, 'no such namespace');
    eval { $plugin->on_update_hook({ %$entry, token => 'f' x 40 }) };
    like($@, qr/^could not use namespace .*: 40[13] /, 'no such token');
};

for my $version (4, 6) {
    subtest "IPv$version, the same prefix in another namespace" => sub {
        my ($cidr, $at, $length) = $family{$version}->@{qw(cidr at length)};
        my $subnet = subnet(
            $cidr,
            gateway => $at->('1'),
            'dhcp-range' => ranges($at->('10') . '-' . $at->('11')),
        );
        my $theirs = sub {
            holds_exactly(
                $neighbour, 'the objects of the neighbour',
                [$cidr], [map { $at->($_) . "/$length" } qw(1 10)],
                [$at->('10') . '-' . $at->('11')],
            );
        };
        hook('add_subnet', $neighbour, $subnet->{id}, $subnet);
        register_gateway($neighbour, $subnet);
        is(
            start_guest($neighbour, $subnet, 1), $at->('10'),
            'the neighbour has a guest with the same MAC'
        );
        $theirs->();

        life($entry, $version);

        $theirs->();
        my @found = hook('get_ips_from_mac', $neighbour, mac(1), 'simple1');
        is($found[$version == 4 ? 0 : 1], $at->('10'), 'the neighbour is still found');
        hook('del_ip', $neighbour, $subnet->{id}, $subnet, $at->('10'));
        hook('del_subnet', $neighbour, $subnet->{id}, $subnet);
        holds_exactly($neighbour, 'nothing in the neighbour\'s namespace', [], [], []);
    };
}

subtest 'dual stack' => sub {
    my @subnets = map {
        my $at = $family{$_}->{at};
        subnet(
            $family{$_}->{cidr},
            gateway => $at->('1'),
            'dhcp-range' => ranges($at->('10') . '-' . $at->('19')),
        )
    } (4, 6);
    for my $subnet (@subnets) {
        hook('add_subnet', $entry, $subnet->{id}, $subnet);
        register_gateway($entry, $subnet);
    }
    my @ips = map { start_guest($entry, $_, 1) } @subnets;
    is_deeply(\@ips, ['10.20.0.10', '2001:db8:20::10'], 'one address of each family');
    is_deeply(
        [hook('get_ips_from_mac', $entry, mac(1), 'simple1')], \@ips,
        'both found by MAC'
    );
    is_deeply(
        [hook('get_ips_from_mac', $entry, mac(1), 'other')],
        [undef, undef],
        'none in another zone',
    );

    hook('del_ip', $entry, $subnets[0]->{id}, $subnets[0], $ips[0]);
    is_deeply(
        [hook('get_ips_from_mac', $entry, mac(1), 'simple1')],
        [undef, $ips[1]],
        'only IPv6',
    );
    hook('del_ip', $entry, $subnets[1]->{id}, $subnets[1], $ips[1]);
    hook('del_subnet', $entry, $_->{id}, $_) for @subnets;
    holds_exactly($entry, 'nothing', [], [], []);
};

subtest 'point to point, gateway outside the subnet' => sub {
    my $subnet = subnet('10.30.0.7/32', gateway => '10.99.0.1');
    hook('add_subnet', $entry, $subnet->{id}, $subnet);
    my @guest = ('guest1', mac(1), 101);
    is(
        hook('add_next_freeip', $entry, $subnet->{id}, $subnet, @guest), '10.30.0.7',
        'its only address'
    );
    my @second = ($subnet->{id}, $subnet, 'guest2', mac(2), 102);
    refuses(
        qr!^could not get .* in subnet 10\.30\.0\.7/32 .*: 409 No free address!,
        'add_next_freeip', $entry, @second,
    );
    hook('del_ip', $entry, $subnet->{id}, $subnet, '10.30.0.7');
    hook('del_subnet', $entry, $subnet->{id}, $subnet);
    holds_exactly($entry, 'nothing', [], [], []);
};

subtest 'two clusters on one prefix' => sub {
    my $subnet = subnet('10.40.0.0/24');
    my @args = ($subnet->{id}, $subnet);
    my %ip;
    for my $name ('alpha', 'beta') {
        local $PVEStandIn::cluster = $name;
        hook('add_subnet', $entry, @args);
        $ip{$name} = hook('add_next_freeip', $entry, @args, 'guest1', mac(1), 101);
    }
    is_deeply(\%ip, { alpha => '10.40.0.1', beta => '10.40.0.2' }, 'no collision');
    for my $name ('alpha', 'beta') {
        local $PVEStandIn::cluster = $name;
        my $other = $name eq 'alpha' ? 'beta' : 'alpha';
        my @found = hook('get_ips_from_mac', $entry, mac(1), 'simple1');
        is_deeply(\@found, [$ip{$name}, undef], "$name sees its own guest");
        if ($name eq 'alpha') {
            refuses(
                qr/^could not delete address .*: 409 /, 'del_ip', $entry, @args,
                $ip{$other}
            );
        }
        hook('del_ip', $entry, @args, $ip{$name});
        hook('del_subnet', $entry, @args);
        my $left = $name eq 'alpha' ? [["10.40.0.0/24"], ["$ip{beta}/24"], []] : [[], [], []];
        holds_exactly($entry, "after $name", @$left);
    }
};

END {
    # a namespace that a failed test did not empty cannot be deleted; the failure matters more
    for my $id (@namespaces) {
        eval { nautobot('DELETE', "ipam/namespaces/$id/") };
        diag("a namespace was left behind: $@") if $@;
    }
}

done_testing();

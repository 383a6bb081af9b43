# pve-nautobot-migrate with a PVE that keeps its configuration in files, as PVE does.
use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/lib";
use JSON;
use Test::More;

use Files qw(spew slurp);

my $dir = tempdir(CLEANUP => 1);
$ENV{PVE_DIR} = $dir;
my ($web, $db) = ('BC:24:11:00:00:01', 'bc:24:11:00:00:02');
my $apply =
    "$^X -I'$Bin/lib' -MSDNStandIn -e 'PVE::Cluster::cfs_update(); PVE::Network::SDN::commit_config()'";

# (exit code, answer, messages)
sub ask {
    my ($asked, $program) = @_;

    spew("$dir/asked", encode_json($asked));
    $program //= "-MSDNStandIn '$Bin/../pve-nautobot-migrate'";
    my $said = `$^X -I'$Bin/lib' $program < '$dir/asked' 2> '$dir/err'`;
    my $code = $? >> 8;
    return ($code, $said ? decode_json($said) : undef, slurp("$dir/err"));
}

# a node whose SDN configuration is applied
sub start {
    spew(
        "$dir/sdn/zones.cfg",
        "simple: lab\n\tdhcp dnsmasq\n\tipam pve\n\nsimple: other\n\tipam pve\n\n"
    );
    spew("$dir/sdn/vnets.cfg", "vnet: v1\n\tzone lab\n\nvnet: v2\n\tzone other\n");
    spew("$dir/sdn/subnets.cfg", <<'TEXT');
subnet: lab-10.0.0.0-24
	vnet v1
	gateway 10.0.0.1
	dhcp-range start-address=10.0.0.100,end-address=10.0.0.199

subnet: other-10.1.0.0-24
	vnet v2
TEXT
    spew(
        "$dir/sdn/ipams.cfg",
        "nautobot: nautobot\n\turl https://n/api\n\tnamespace pve\n\ttoken s3cret\n"
    );
    hold(lab => { '10.0.0.1' => { gateway => 1 }, '10.0.0.100' => { mac => $web, vmid => '100' } });
    unlink("$dir/sdn/.lock");
    system($apply) == 0 or die;
}

sub hold {
    my ($zone, $ips) = @_;

    my $subnets = { '10.0.0.0/24' => { ips => $ips } };
    spew(
        "$dir/sdn/pve-ipam-state.json",
        encode_json({ zones => { $zone => { subnets => $subnets } } })
    );
}

sub ips {
    my $zones = decode_json(slurp("$dir/sdn/pve-ipam-state.json"))->{zones};
    return {
        map { $_ => $zones->{lab}->{subnets}->{$_}->{ips} }
            keys($zones->{lab}->{subnets}->%*)
    };
}

my %look = (do => 'look', zone => 'lab');
my %switch = (do => 'switch', zone => 'lab', from => 'pve', to => 'nautobot', held => undef);

sub is_refused {
    my ($name, $why, %asked) = @_;

    my $before = slurp("$dir/sdn/zones.cfg");
    my ($code, $answer, $message) = ask({ %switch, %asked });
    isnt($code, 0, "$name: exit code");
    is($answer, undef, "$name: no answer");
    like($message, qr/^the IPAM of zone lab was not changed: $why$/m, "$name: message");
    is(slurp("$dir/sdn/zones.cfg"), $before, "$name: nothing is changed");
    unlike($message, qr/s3cret/, "$name: no token");
}

subtest 'the IPAM is changed, and then applied' => sub {
    start();
    is_deeply((ask(\%look))[1], { ipam => 'pve', running => 'pve', pending => [] }, 'before');
    is_deeply(
        [ask({ %switch, held => [{ ip => '10.0.0.100', mac => $web }] })], [0, {}, ''],
        'changed'
    );
    my $text = "simple: lab\n\tdhcp dnsmasq\n\tipam nautobot\n\nsimple: other\n\tipam pve\n\n";
    is(slurp("$dir/sdn/zones.cfg"), $text, 'the zone alone');
    is_deeply(
        (ask(\%look))[1],
        { ipam => 'nautobot', running => 'pve', pending => [] },
        'it is not pending of others'
    );
    is_deeply([ask(\%switch)], [0, {}, ''], 'again');
    is(slurp("$dir/sdn/zones.cfg"), $text, 'changes nothing');
    system($apply);
    is_deeply(
        (ask(\%look))[1], { ipam => 'nautobot', running => 'nautobot', pending => [] },
        'applied'
    );
};

subtest 'the IPAM of the zone is another one by now' => sub {
    start();
    is_refused('another', "its IPAM is 'pve' by now, not netbox", from => 'netbox');
    is_refused('no such entry', 'IPAM phpipam does not exist', to => 'phpipam');
    my ($code, undef, $message) = ask({ %switch, zone => 'gone' });
    like(
        $message, qr/^the IPAM of zone gone was not changed: its IPAM is '' by now/,
        'no zone'
    );
};

subtest 'PVE\'s own IPAM has given an address meanwhile, or another guest has one' => sub {
    my $why = "PVE's own IPAM has given or taken back addresses meanwhile";
    start();
    is_refused('one more', $why, held => []);
    is_refused('one less', $why, held => [map { { ip => "10.0.0.$_", mac => $web } } 100, 101]);
    is_refused('another guest', $why, held => [{ ip => '10.0.0.100', mac => $db }]);
    is_refused('a reservation', $why, held => [{ ip => '10.0.0.100', mac => undef }]);
};

subtest 'something else is configured, but not applied' => sub {
    start();
    spew("$dir/sdn/vnets.cfg", "vnet: v1\n\tzone lab\n\talias DMZ\n\nvnet: v3\n\tzone lab\n");
    is_deeply(
        (ask(\%look))[1]->{pending},
        ['vnet v1 is changed', 'vnet v2 is deleted', 'vnet v3 is new'], 'named',
    );
    is_refused('pending', 'vnet v1 is changed, but not applied');
    start();
    spew("$dir/sdn/zones.cfg", "simple: lab\n\tipam pve\n\nsimple: other\n\tipam nautobot\n\n");
    is_deeply(
        (ask(\%look))[1]->{pending}, ['zone lab is changed', 'zone other is changed'],
        'zones'
    );
    unlink("$dir/sdn/.running-config");
    ok((ask(\%look))[1]->{pending}->@* >= 4, 'nothing was ever applied');
};

subtest 'PVE does not get its lock' => sub {
    start();
    for my $why ('no quorum!', 'got lock request timeout') {
        local $ENV{PVE_LOCK_FAILS} = $why;
        is_refused($why, "cfs-lock 'domain-sdn' error: $why");
        my ($code, undef, $message) =
            ask({ do => 'write', zone => 'lab', add => [], remove => [] });
        isnt($code, 0, "$why: writing fails, too");
        like(
            $message, qr/^cfs-lock 'file-sdn_pve-ipam-state_json' error: $why$/,
            "$why: message"
        );
    }
    spew("$dir/sdn/.lock", 'token');
    is_refused('somebody has the global lock', 'invalid lock token provided!');
};

subtest 'what PVE\'s own IPAM holds' => sub {
    start();
    my %cidr = (subnet => '10.0.0.0/24');
    my @add = (
        {
            %cidr, ip => '10.0.0.100', mac => $db, vmid => '101', hostname => 'db',
            gateway => undef
        },
        {
            %cidr, ip => '10.0.0.2', mac => undef, vmid => undef, hostname => undef,
            gateway => 1
        },
    );
    my %asked =
        (do => 'write', zone => 'lab', remove => [{ %cidr, ip => '10.0.0.100' }], add => \@add);
    is_deeply([ask(\%asked)], [0, {}, ''], 'written');
    my %after = (
        '10.0.0.1' => { gateway => 1 },
        '10.0.0.2' => { gateway => 1 },
        '10.0.0.100' => { mac => $db, vmid => '101', hostname => 'db' },
    );
    is_deeply(ips(), { '10.0.0.0/24' => \%after }, 'as asked');

    my ($code, undef, $message) = ask({ %asked, remove => [], add => [$add[0]] });
    isnt($code, 0, 'an address that somebody has got meanwhile');
    like($message, qr/^IP '10\.0\.0\.100' already exist$/, 'as PVE says it');
    ($code, undef, $message) = ask({ %asked, remove => [{ %cidr, ip => '10.0.0.9' }] });
    like($message, qr/^IP '10\.0\.0\.9' does not exist in IPAM DB$/, 'one that has gone');
    ($code, undef, $message) =
        ask({ %asked, remove => [], add => [{ $add[0]->%*, subnet => '10.9.0.0/24' }] });
    like(
        $message, qr!^zone lab has no subnet 10\.9\.0\.0/24$!,
        'a subnet that PVE does not have'
    );
    is_deeply(ips(), { '10.0.0.0/24' => \%after }, 'nothing is changed');
};

subtest
    'a subnet that PVE\'s own IPAM does not have yet, and one that PVE does not have any more' =>
    sub {
        start();
        spew("$dir/sdn/subnets.cfg", "subnet: lab-10.2.0.0-24\n\tvnet v1\n");
        my @remove = map { { subnet => '10.0.0.0/24', ip => "10.0.0.$_" } } 1, 100;
        my @add = { subnet => '10.2.0.0/24', ip => '10.2.0.5', mac => $web };
        is_deeply(
            [ask({ do => 'write', zone => 'lab', remove => \@remove, add => \@add })],
            [0, {}, ''], 'done'
        );
        is_deeply(
            ips(), { '10.0.0.0/24' => {}, '10.2.0.0/24' => { '10.2.0.5' => { mac => $web } } },
            'written',
        );
    };

subtest 'another release of PVE' => sub {
    start();
    my $program =
        "-MSDNStandIn -e 'undef \$PVE::Network::SDN::{pending_config}; do shift' '$Bin/../pve-nautobot-migrate'";
    my ($code, undef, $message) = ask(\%look, $program =~ s/do shift/do shift or die \$\@/r);
    isnt($code, 0, 'exit code');
    like(
        $message, qr/^PVE::Network::SDN of this release of PVE does not have its functions/,
        'message'
    );
};

done_testing();
